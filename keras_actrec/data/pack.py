"""A set of videos into tar files, as WebDataset has them."""

import io
import json
import os
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pydantic

from keras_actrec._files import replacing
from keras_actrec._numbers import MOST_SEED, whole
from keras_actrec._types import PathLike, Progress
from keras_actrec.data._readers import VIDEO_SUFFIXES, stamp
from keras_actrec.data._shards import SHARD, opened
from keras_actrec.data._tables import split_of
from keras_actrec.data._video_error import VideoError
from keras_actrec.data._walk import walk
from keras_actrec.data.manifest import Manifest, Record
from keras_actrec.errors import UserError

_MOST_SIZE = 1 << 40


def pack_videos(
    manifest: Manifest,
    out: PathLike,
    *,
    size: int | str = "1GB",
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Path]:
    """Writes videos into tar files, each with a `.json` of its label, split, group and fold beside it.

    They are shuffled, so that what is read in a row is of all classes. The videos of a split go into a folder
    of its name. The same set and seed give the same bytes.

    Args:
        manifest: of videos, as `read_whole` gives it.
        out: folder without videos and tar files; made if missing.
        size: bytes of videos in a tar file, such as `"200MB"`; only a larger video makes it larger.
        seed: of the order.
        progress: called as `progress(done, total)` after every video.

    Returns:
        The tar files.

    Raises:
        UserError: for videos or tar files in `out`, parts of files, folders of frames, names that end as no
            video's, or two videos of one key.
        VideoError: for a video that is not there.
    """
    out, most = Path(out), _size(size)
    _check_free(out)
    names = _names(manifest.records)
    order = np.random.default_rng(whole("seed", seed, 0, MOST_SEED)).permutation(len(names)).tolist()
    made: list[Path] = []
    done = 0
    for split in dict.fromkeys(record.split for record in manifest.records):
        numbers = [number for number in order if manifest.records[number].split == split]
        for count, part in enumerate(_parts(numbers, manifest.records, most)):
            made.append(out / split / f"shard-{count:06d}{SHARD}")
            with replacing(made[-1]) as file, tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as archive:
                for number in part:
                    _add(archive, manifest, manifest.records[number], names[number])
                    done += 1
                    if progress is not None:
                        progress(done, len(names))
    return made


def _check_free(out: Path) -> None:
    for folder, names in walk(out):
        for name in names:
            if name.lower().endswith((*VIDEO_SUFFIXES, SHARD)):
                raise UserError(f"{out}: {folder / name} is in it: name one without videos and tar files")


def _size(size: int | str) -> int:
    try:
        return whole("size", pydantic.TypeAdapter(pydantic.ByteSize).validate_python(size), high=_MOST_SIZE)
    except pydantic.ValidationError as error:
        raise UserError(f"`size` must be bytes, such as 200MB or 1GB. Received: size={size!r}") from error


def _names(records: Sequence[Record]) -> list[str]:
    """What the videos are called in the tar files: as their paths, with no dot but that of the suffix."""
    names: dict[str, str] = {}
    for record in records:
        fix = "name each video once, as a file of its own"
        if record.start is not None or record.stop is not None:
            raise UserError(f"{record.file}: it is in the set in parts, which tar files do not hold: {fix}")
        if record.file.is_dir():
            raise UserError(f"{record.file}: a folder of frames is no file; make a video of it")
        stem, suffix = os.path.splitext(record.path)
        if suffix.lower() not in VIDEO_SUFFIXES:
            raise UserError(f"{record.file}: its name does not end as a video's, such as .mp4: rename it")
        parts = [part for part in stem.split("/") if part not in ("", ".", "..")]
        key = "/".join(part.replace(".", "_") for part in parts)
        if key in names:
            raise UserError(f"{record.file}: it and {names[key]} have one name in tar files: rename it")
        names[key] = record.path
    # In a set without splits a folder that is called train is none of them.
    named = any("/" in key and split_of(key.partition("/")[0]) for key in names)
    top = "videos/" if named and not any(record.split for record in records) else ""
    return [f"{top}{key}{os.path.splitext(path)[1]}" for key, path in names.items()]


def _parts(numbers: Iterable[int], records: Sequence[Record], size: int) -> Iterator[list[int]]:
    """The videos of each tar file."""
    part: list[int] = []
    left = size
    for number in numbers:
        left -= _bytes(records[number])
        if part and left < 0:
            yield part
            part, left = [], size - _bytes(records[number])
        part.append(number)
    if part:
        yield part


def _bytes(record: Record) -> int:
    try:
        return stamp(record.file)[0]
    except OSError as error:
        reason = f"it cannot be read ({error.strerror}); mend that or remove it"
        raise VideoError(record.file, "unreadable", reason) from error


def _add(archive: tarfile.TarFile, manifest: Manifest, record: Record, name: str) -> None:
    about = {"label": manifest.class_names[record.label], "split": record.split}
    about |= {"group": record.group, "fold": record.fold}
    said = json.dumps({name: value for name, value in about.items() if value}).encode()
    member = tarfile.TarInfo(name)
    member.size = _bytes(record)
    with opened(record.file) as file:
        archive.addfile(member, file)
    member = tarfile.TarInfo(f"{os.path.splitext(name)[0]}.json")
    member.size = len(said)
    archive.addfile(member, io.BytesIO(said))
