"""What tar files of videos say of them, as WebDataset has it: files of one key belong together."""

import functools
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_actrec._types import PathLike
from keras_actrec.data._readers import VIDEO_SUFFIXES
from keras_actrec.data._shards import COMPRESSED, SHARD, members
from keras_actrec.data._tables import Table, cell_of, split_of
from keras_actrec.data._video_error import VideoError
from keras_actrec.data._walk import walk
from keras_actrec.errors import UserError

COLUMNS = ("path", "label", "split", "group", "fold", "start", "stop", "end")
_SAID = COLUMNS[1:]
_MOST_BYTES = 1 << 16  # of what lies beside a video
_RANGE = re.compile(r"\{([0-9]+)\.\.([0-9]+)\}")
_MOST_SHARDS = 1_000_000


def shards_of(data: PathLike) -> list[Path]:
    """The tar files that a name stands for: one, a range such as `shards-{000..127}.tar`, or none.

    Raises:
        UserError: for one that is compressed, or a range with a file that is missing.
    """
    data = Path(data)
    _check_plain([data])
    if data.suffix.lower() != SHARD or data.is_dir():
        return []
    found = _RANGE.search(data.name)
    if found is None or data.exists():
        return [data]
    first, last = found.groups()
    if int(last) < int(first) or int(last) - int(first) >= _MOST_SHARDS:
        raise UserError(f"{data}: the range must ascend, as in {{000..127}}. Received: {found[0]!r}")
    names = [
        f"{data.name[: found.start()]}{number:0{len(first)}d}{data.name[found.end() :]}"
        for number in range(int(first), int(last) + 1)
    ]
    for name in names:
        if not (data.parent / name).is_file():
            raise UserError(f"{data.parent / name}: not found, and {data} says that it is there")
    return [data.parent / name for name in names]


def shards_in(root: Path) -> list[Path]:
    """The tar files in a folder and its folders, sorted.

    Raises:
        UserError: for compressed ones.
    """
    files = [folder / name for folder, names in walk(root) for name in names]
    _check_plain(files)
    return [file for file in files if file.suffix.lower() == SHARD]


def _check_plain(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.name.lower().endswith(COMPRESSED):
            raise UserError(f"{path}: no video can be found in a compressed tar file: make it a .tar")


def videos_in(shard: PathLike) -> list[str]:
    """Names of the videos in a tar file, in its order, without hidden ones."""
    return [name for name in members(shard) if _is_video(name)]


def _is_video(name: str) -> bool:
    return name.lower().endswith(VIDEO_SUFFIXES) and not _hidden(name)


def _hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def read_samples(shards: Sequence[Path], root: Path) -> tuple[Table, Counter[str]]:
    """What tar files say of the videos in them, and how many files they have, by suffix, that say nothing.

    The name of a file up to the first dot is its key. The class is what `KEY.cls` says, a number or a name,
    else `label` in `KEY.json`, else `KEY.txt`, else the folder that the video is in, in the tar file or
    where that is. The other columns of a table may be in `KEY.json` too. The split is what it says, else the
    name of the folder on top, where all are named as splits, else the one that the name of the tar file has
    in it, as in `ucf-train-000.tar`, where all have one.

    Args:
        shards: the tar files.
        root: folder that paths are relative to.

    Returns:
        A table with the columns `COLUMNS`; labels that nothing tells are blank.

    Raises:
        UserError: no videos in them, a tar file that is refused, or what lies beside a video is damaged.
    """
    columns: dict[str, list[str]] = {name: [] for name in COLUMNS}
    header, others = {"path", "label"}, Counter[str]()
    folders: list[list[str]] = []  # that a video is in, and the split that is in the name of its tar file
    names: list[str] = []
    for shard in shards:
        place, found = shard.relative_to(root), members(shard)
        beside = _beside(found)
        with open(shard, "rb") as file:
            for name in found:
                suffix = os.path.splitext(name)[1].lower()
                if _is_video(name):
                    said = _said(shard, file, found, beside.get(_key(name), {}))
                    header.update(said)
                    columns["path"].append(f"{place.as_posix()}/{name}")
                    folders.append([*place.parts[:-1], *name.split("/")[:-1]])
                    names.append(_split_in(place.stem))
                    for column in _SAID:
                        columns[column].append(said.get(column, ""))
                elif not _hidden(name) and suffix not in _READERS:
                    others[suffix or os.path.basename(name)] += 1
    if not columns["path"]:
        raise none_found(shards)
    table = Table(root, header, columns, lambda row: str(root / columns["path"][row]))
    _fill_in(table, folders, names)
    table.check(())
    return table, others


def none_found(shards: Sequence[Path]) -> UserError:
    """The error for tar files without videos."""
    which = f"{shards[0]}" if len(shards) == 1 else f"{shards[0]} and {len(shards) - 1} more"
    return UserError(f"{which}: no videos found (looked for {' '.join(VIDEO_SUFFIXES)} in tar files)")


@functools.lru_cache(1024)
def _split_in(name: str) -> str:
    """The split that is in the name of a tar file, if there is one."""
    splits = {split_of(word) for word in re.split(r"[^a-z]+", name.lower())} - {""}
    return splits.pop() if len(splits) == 1 else ""


def _fill_in(table: Table, folders: Sequence[list[str]], names: Sequence[str]) -> None:
    """Splits and labels from folders and names of tar files, where nothing else tells them."""
    labels, splits = table.columns["label"], table.columns["split"]
    tops = [split_of(each[0]) if each else "" for each in folders]
    on_top = all(tops)
    if not on_top and any(tops) and any(each[1:] for each in folders) and "" in splits:
        odd = table.where(tops.index(""))
        raise UserError(
            f"{odd}: it is in no folder that is named as a split, and others are: name all of them train, "
            "validation or test, or list the videos in manifest.csv"
        )
    for row, (label, split) in enumerate(zip(labels, splits, strict=True)):
        labels[row] = label or next(iter(folders[row][on_top:]), "")
        splits[row] = split or (tops[row] if on_top else names[row] if all(names) else "")
    if "" in labels:
        raise UserError(
            f"{table.where(labels.index(''))}: nothing tells its class ({labels.count('')} of {len(labels)} "
            "videos): put a .cls, or a .json with `label`, of the same name beside it, or it in a folder of "
            "its class"
        )


def _key(name: str) -> str:
    folder, _, base = name.rpartition("/")
    return f"{folder}/{base.partition('.')[0]}"


def _beside(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Files that say something of a key: their names by suffix."""
    found: dict[str, dict[str, str]] = {}
    for name in names:
        suffix = name[len(_key(name).removeprefix("/")) :].lower()
        if suffix in _READERS:
            found.setdefault(_key(name), {})[suffix] = name
    return found


def _said(
    shard: Path, file: Any, places: Mapping[str, tuple[int, int]], beside: Mapping[str, str]
) -> dict[str, str]:
    """Cells of a video's row, by column, from what lies beside it."""
    said: dict[str, str] = {}
    for suffix in reversed(_READERS):  # what comes first in it has the last word
        if suffix not in beside:
            continue
        name = beside[suffix]
        start, size = places[name]
        if size > _MOST_BYTES:
            raise VideoError(shard / name, "unreadable", f"it has {size} bytes, which no class has")
        file.seek(start)
        try:
            said |= _READERS[suffix](file.read(size).decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            why = " ".join(str(error).split())[:200]
            raise VideoError(shard / name, "unreadable", f"it cannot be read ({why}); mend it") from error
    return said


def _label(text: str) -> dict[str, str]:
    return {"label": text.strip()}


def _columns(text: str) -> dict[str, str]:
    """The cells in a JSON object; what is no column of ours is passed over."""
    values = json.loads(text)
    if not isinstance(values, dict):
        raise ValueError("it is no JSON object")
    said = {}
    for name, value in values.items():
        if name in _SAID and value is not None:
            if isinstance(value, bool) or not isinstance(value, str | int | float):
                raise ValueError(f"`{name}` must be a text or a number")
            said[name] = value.strip() if isinstance(value, str) else cell_of(value)
    return said


_READERS = {".cls": _label, ".json": _columns, ".txt": _label}
