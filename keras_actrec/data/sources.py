"""Which files somebody means who names files, folders, patterns and lists."""

import fnmatch
import glob
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from keras_actrec._types import PathLike
from keras_actrec.data._readers import is_frame, is_pose_frame
from keras_actrec.data._samples import none_found, shards_in, shards_of, videos_in
from keras_actrec.data._shards import SHARD
from keras_actrec.data._tables import TABLE_SUFFIXES, header_of, read_cuts
from keras_actrec.data._video_error import VideoError
from keras_actrec.data._walk import walk
from keras_actrec.data.manifest import VIDEO_SUFFIXES, Record, kind_of_file, passed_over_line
from keras_actrec.data.poses import POSE_SUFFIXES
from keras_actrec.errors import UserError

VIDEO_PATTERNS = tuple(f"*{suffix}" for suffix in VIDEO_SUFFIXES)
POSE_PATTERNS = tuple(f"*{suffix}" for suffix in POSE_SUFFIXES)


def expand_sources(
    sources: PathLike | Iterable[PathLike | Record],
    patterns: Sequence[str] = VIDEO_PATTERNS,
    *,
    fps: float | None = None,
    tell: Callable[[str], Any] | None = None,
) -> list[Record]:
    """Lists the files that sources stand for, in their order; what is named twice is there twice.

    A source is

    - a file, whatever it is called and whether it exists: who reads it says what is wrong with it;
    - a folder: what fits `patterns` in it and in its folders, sorted folder by folder, without what is
      hidden. With the patterns of videos, a folder with numbered images, and no video in it or below, is one
      video, see `probe`; with those of joints, so is a folder of OpenPose's files, one a frame;
    - a CSV file (`.csv`): the files, or folders of frames, in its column `path`, relative to the CSV, or the
      parts of them between `start` and `stop`, frames, or `start` and `end`, seconds, see `read_manifest`;
      with the patterns of joints, one without the column `path` is a file of joints;
    - a pattern such as `"clips/**/*.mp4"`, where no file has this name: the sources that it fits, sorted;
    - `"-"`: the files, or folders of frames, that standard input names, one a line;
    - a `Record`: itself.

    Args:
        sources: one or several.
        patterns: what the names of files in a folder are like, in upper or lower case.
        fps: frames a second of what tells none, where a CSV file has `start` and `end`.
        tell: called with a line where files in folders do not fit them.

    Returns:
        Records, whose label says nothing.

    Raises:
        UserError: a folder or a pattern in which there is nothing, standard input without a path, or a file
            that is not a CSV file with a column `path`, or cuts what is no part of a file.
    """
    if isinstance(sources, str | os.PathLike):
        sources = [sources]
    passed_over = Counter[str]()
    records = [record for source in sources for record in _expand(source, patterns, fps, passed_over)]
    if passed_over and tell is not None:
        tell(passed_over_line(passed_over))
    return records


def _expand(
    source: PathLike | Record, patterns: Sequence[str], fps: float | None, passed_over: Counter[str]
) -> list[Record]:
    if isinstance(source, Record):
        return [source]
    return _whole(_piped()) if source == "-" else _on_disk(os.fspath(source), patterns, fps, passed_over)


def _whole(paths: Iterable[Path]) -> list[Record]:
    return [Record(path, str(path), 0) for path in paths]


def _on_disk(
    source: str, patterns: Sequence[str], fps: float | None, passed_over: Counter[str]
) -> list[Record]:
    path = Path(source)
    if path.is_dir():
        return _whole(_below(path, patterns, passed_over))
    if lists_files(path, patterns):
        rows = read_cuts(path, ("path",), fps=fps).rows()
        files = [(path.parent / row["path"], row) for row in rows]
        return [Record(file, str(file), 0).between(row["start"], row["stop"]) for file, row in files]
    if tuple(patterns) == VIDEO_PATTERNS and (shards := shards_of(path)) and shards[0].exists():
        return _whole(_inside(shards))
    if not glob.has_magic(source) or os.path.lexists(path):
        return _whole([path])
    found = sorted(glob.glob(source, recursive=True))
    if not found:
        raise UserError(
            f"{source}: no file or folder fits this pattern; * stands for any name, ** for any folders"
        )
    return [record for match in found for record in _on_disk(match, patterns, fps, passed_over)]


def lists_files(path: Path, patterns: Sequence[str]) -> bool:
    """Whether this is a CSV file that lists files, and, where patterns are those of joints, none of these."""
    if path.suffix.lower() not in TABLE_SUFFIXES or not path.is_file():
        return False
    return "*.csv" not in patterns or "path" in header_of(path)


def _below(root: Path, patterns: Sequence[str], passed_over: Counter[str]) -> list[Path]:
    """Files, and folders of frames, in a folder and its folders; the others are counted."""
    lowered = [pattern.lower() for pattern in patterns]
    one = {VIDEO_PATTERNS: is_frame, POSE_PATTERNS: is_pose_frame}.get(tuple(patterns), lambda name: False)
    folders, seen = [], Counter[str]()
    for folder, names in walk(root):
        fitting = [
            name
            for name in names
            if not one(name) and any(fnmatch.fnmatchcase(name.lower(), p) for p in lowered)
        ]
        has_frames = any(map(one, names))
        others = Counter(kind_of_file(name) for name in names if name not in fitting)
        folders.append((folder, fitting, has_frames, others))
    above = {parent for folder, fitting, *_ in folders if fitting for parent in (folder, *folder.parents)}
    paths, videos = [], set()  # a set of folders of frames, and of those in them
    for folder, fitting, has_frames, others in folders:
        if folder.parent in videos:
            videos.add(folder)
        elif has_frames and folder not in above:
            videos.add(folder)
            paths.append(folder)
        else:
            paths += [folder / name for name in fitting]
            seen += others
    if not paths and tuple(patterns) == VIDEO_PATTERNS and (shards := shards_in(root)):
        paths = _inside(shards)
        del seen[SHARD]
    if not paths:
        what = "videos" if patterns == VIDEO_PATTERNS else "files"
        frames = " and numbered images" if patterns == VIDEO_PATTERNS else ""
        instead = f"; {passed_over_line(seen)}" if seen else ""
        looked = f"looked for {' '.join(patterns)}{frames} in its folders"
        raise UserError(f"{root}: no {what} found ({looked}){instead}")
    passed_over += seen
    return paths


def _inside(shards: Sequence[Path]) -> list[Path]:
    """The videos in tar files, and those of these that cannot be read: who reads them says why."""
    paths = []
    for shard in shards:
        try:
            paths += [shard / name for name in videos_in(shard)]
        except VideoError:
            paths.append(shard)
    if not paths:
        raise none_found(shards)
    return paths


def _piped() -> list[Path]:
    # As bytes: names of files need not be text.
    lines = [line.rstrip(b"\r\n") for line in sys.stdin.buffer]
    paths = [Path(os.fsdecode(line)) for line in lines if line.strip()]
    if not paths:
        raise UserError("-: standard input names no files; write one path a line")
    return paths
