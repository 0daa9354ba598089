"""Diving48: dives that differ in their course, not in their scene."""

from pathlib import Path

from keras_actrec.data.datasets._common import choose, finish, index, look_for, read_json, relative
from keras_actrec.data.manifest import Manifest, Record
from keras_actrec.errors import UserError

_OFFICIAL = {"v1": (16067, 2337), "v2": (15027, 1970)}


def diving48(root: str | Path, *, version: str = "v2") -> Manifest:
    """Diving48: 48 kinds of dives, in the first labels (v1) or the cleaned ones of October 2020 (v2).

    Looks for `Diving48_vocab.json` and `Diving48_train.json`, `Diving48_test.json` (v1) or
    `Diving48_V2_train.json`, `Diving48_V2_test.json` (v2) in `root` or one of its folders, and for the
    videos as `<vid_name>.mp4` anywhere below `root`. v1 has 16,067 and 2,337 clips, v2 15,027 and 1,970. A
    class is named by take-off, somersaults, twists and position as the vocabulary has them. The lists'
    `start_frame` and `end_frame` are not used: a clip is one dive. Of
    the counts only the sum of v1, 18,404, could be checked.

    Args:
        root: folder with the lists and the videos.
        version: `"v1"` or `"v2"`.

    Returns:
        A `Manifest`; clips that the lists name and that do not exist are left out.

    Raises:
        UserError: another layout, an unknown version, or a clip in train and in test.
    """
    version = choose("version", version, _OFFICIAL)
    vocabulary = look_for(root, "Diving48", "Diving48_vocab.json", "*/Diving48_vocab.json")
    names = [
        "-".join(map(str, entry)) if isinstance(entry, list) else str(entry)
        for entry in read_json(vocabulary, list)
    ]
    files, records = index(root), []
    for part in ("train", "test"):
        path = vocabulary.with_name(f"Diving48_{'V2_' if version == 'v2' else ''}{part}.json")
        for entry in read_json(path, list):
            clip, label = (
                (entry.get("vid_name"), entry.get("label")) if isinstance(entry, dict) else (None, None)
            )
            if not clip or not isinstance(label, int) or not 0 <= label < len(names):
                raise UserError(
                    f"{path}: needs `vid_name` and a `label` from 0 to {len(names) - 1}. "
                    f"Received: {entry!r:.200}"
                )
            file = files.get(str(clip))
            if file is not None:
                records.append(Record(file, relative(file, root), label, part))
    return finish(
        "diving48", root, names, records, dict(zip(("train", "test"), _OFFICIAL[version], strict=True))
    )
