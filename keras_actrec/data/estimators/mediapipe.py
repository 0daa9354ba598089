"""MediaPipe Pose: tables of landmarks, one file a recording. Its arrays are read as all arrays, see `arrays`.

MediaPipe writes no files itself, so three forms are taken that its own examples and most scripts write:

- a row a frame with a header: columns for the coordinates of each landmark, such as `x1,y1,z1,v1`,
  `landmark_0_x`, `left_wrist_x` or `LEFT_WRIST_visibility`, maybe `frame`; all others are passed over;
- a row a frame without one, or with pandas' numbers of columns: maybe texts first, then 33 times x, y, z or
  x, y, z, visibility;
- a row a landmark: the columns `frame`, `landmark` (its number or name), `x`, `y`, `z`, maybe `visibility`.
"""

import csv
import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_actrec.bodies import body
from keras_actrec.data._pose import Pose, without_gaps
from keras_actrec.data.persons import numbers_of
from keras_actrec.errors import UserError

_BODY = body("mediapipe33")
_COUNT = len(_BODY.joints)
_PARTS = {
    "x": 0,
    "y": 1,
    "z": 2,
    **dict.fromkeys(("v", "vis", "visibility", "score", "confidence"), 3),
}
_FRAMES = ("frame", "frame_id", "frame_number", "frame_index")
_LANDMARKS = ("landmark", "landmark_id", "landmark_name", "id", "index", "joint", "name")


def read(text: str) -> Pose:
    """The landmarks of a table.

    Raises:
        ValueError: for a table of something else.
    """
    rows = [
        [cell.strip() for cell in row]
        for row in csv.reader(io.StringIO(text))
        if len(row) > 1 or any(map(str.strip, row))
    ]
    if not rows:
        raise ValueError("there are no rows in it")
    header = [cell.lower().removeprefix("\ufeff") for cell in rows[0]]
    columns, frames = [_part_of(cell) for cell in header], None
    if {"x", "y"} <= set(header) and any(name in header for name in _LANDMARKS):
        values, frames = _long(header, rows[1:])
    elif sum(part is not None for part in columns) >= 2 * _COUNT:
        values = _wide(columns, rows[1:])
        for column in [header.index(name) for name in _FRAMES if name in header][:1]:
            values, frames = _spread(values, [row[column] for row in rows[1:]])
    else:
        values = _bare(rows)
    if not len(values):
        raise ValueError("there are no frames in it")
    has_scores = not np.isnan(values[..., 3]).all()
    scores = values[:, None, :, 3] if has_scores else None
    depth = slice(0, 2 if np.isnan(values[..., 2]).all() else 3)
    joints, scores = without_gaps(values[:, None, :, depth], scores)
    return Pose(joints, scores, layout=_BODY.name, frames=frames)


def _part_of(cell: str) -> tuple[int | str, int] | None:
    """The landmark, by number or name, and the coordinate that a column has."""
    if match := re.fullmatch(r"([a-z]+)_?(\d{1,3})", cell):
        part, landmark = match[1], match[2]
    elif match := re.fullmatch(r"(?:.*?_)?(\d{1,3})_?([a-z]+)", cell):
        landmark, part = match[1], match[2]
    elif match := re.fullmatch(r"(.+)_([a-z]+)", cell):
        landmark, part = match[1], match[2]
    else:
        return None
    if part not in _PARTS:
        return None
    if landmark.isdecimal():
        return int(landmark), _PARTS[part]
    name = _name_of(landmark)
    return None if name is None else (name, _PARTS[part])


def _name_of(text: str) -> str | None:
    """Our name of a landmark; MediaPipe's own says `mouth_left` where we say `left_mouth`."""
    name = re.sub(r"[ -]+", "_", text.lower())
    name = re.sub(r"^mouth_(left|right)$", r"\1_mouth", name)
    return name if name in _BODY.numbers else None


def _wide(columns: Sequence[tuple[int | str, int] | None], rows: Sequence[Sequence[str]]) -> np.ndarray:
    """Rows of a frame each, `(T, 33, 4)`."""
    named = {part[0] for part in columns if part is not None}
    by_number = all(isinstance(landmark, int) for landmark in named)
    first = min(landmark for landmark in named if isinstance(landmark, int)) if by_number else 0
    places = {}
    for column, part in enumerate(columns):
        if part is None:
            continue
        landmark, axis = part
        place = _BODY.numbers.get(str(landmark)) if isinstance(landmark, str) else landmark - first
        if place is None or place >= _COUNT or (place, axis) in places:
            raise ValueError(f"the columns are not those of {_COUNT} landmarks")
        places[place, axis] = column
    if first > 1 or {key[0] for key in places} != set(range(_COUNT)):
        raise ValueError(f"the columns are not those of {_COUNT} landmarks")
    made = np.full((len(rows), _COUNT, 4), np.nan, "float32")
    for number, row in enumerate(rows):
        if len(row) != len(columns):
            raise ValueError(f"row {number + 2} has {len(row)} cells, the header has {len(columns)}")
        for key, column in places.items():
            made[number][key] = _number(row[column])
    return made


def _spread(values: np.ndarray, named: Sequence[str]) -> tuple[np.ndarray, range | None]:
    """Frames where their numbers say, if they are numbers, and these."""
    if not named or not all(cell.isdecimal() and len(cell) < 16 for cell in named):
        return values, None
    if len(set(map(int, named))) < len(named):
        raise UserError("the column `frame` has a number twice: write a file for each person")
    frames = numbers_of(set(map(int, named)))
    made = np.full((len(frames), *values.shape[1:]), np.nan, "float32")
    made[[frames.index(int(cell)) for cell in named]] = values
    return made, frames


def _bare(rows: Sequence[Sequence[str]]) -> np.ndarray:
    """Rows of a frame each, of numbers alone behind maybe some texts."""
    start = next((place for place, cell in enumerate(rows[0]) if _is_number(cell)), 0)
    size = len(rows[0]) - start
    if size not in (3 * _COUNT, 4 * _COUNT) or start > 2:
        raise ValueError(
            f"its first row names no columns of {_COUNT} landmarks, such as x1,y1,z1,v1 or left_wrist_x"
        )
    if any(list(rows[0][start:]) == [str(first + n) for n in range(size)] for first in (0, 1)):
        rows = rows[1:]  # pandas has numbered the columns
    made = np.full((len(rows), _COUNT, 4), np.nan, "float32")
    for number, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise ValueError(f"row {number + 1} has {len(row)} cells, the first has {len(rows[0])}")
        values = np.array([_number(cell) for cell in row[start:]], "float32").reshape(_COUNT, -1)
        made[number, :, : values.shape[1]] = values
    return made


def _long(header: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[np.ndarray, range]:
    """Rows of a landmark each, and the numbers of their frames."""
    of_frame = next((header.index(name) for name in _FRAMES if name in header), None)
    of_landmark = next(header.index(name) for name in _LANDMARKS if name in header)
    axes = {axis: header.index(name) for name, axis in _PARTS.items() if name in header}
    if of_frame is None:
        raise ValueError("it has a row a landmark, and no column `frame`")
    found: dict[tuple[int, int], dict[int, float]] = {}
    for number, row in enumerate(rows):
        if len(row) != len(header):
            raise ValueError(f"row {number + 2} has {len(row)} cells, the header has {len(header)}")
        key = _number(row[of_frame]), _landmark(row[of_landmark])
        if not 0 <= key[1] < _COUNT or not key[0].is_integer() or abs(key[0]) > 2**53:
            names = f"no frame, a whole number, or none of {_COUNT} landmarks"
            raise ValueError(f"row {number + 2} names {names}")
        if key in found:
            told = f"row {number + 2} has landmark {row[of_landmark]} of frame {row[of_frame]} again"
            raise UserError(f"{told}: write a file for each person")
        found[int(key[0]), key[1]] = {axis: _number(row[column]) for axis, column in axes.items()}
    if not found:
        raise ValueError("there are no frames in it")
    there = {landmark for _, landmark in found}
    if len(there) < _COUNT and rows[0][of_landmark].isdecimal():
        told = f"it numbers {len(there)} landmarks, and a body has {_COUNT}"
        raise UserError(f"{told}: write rows for all, with empty cells where nothing was seen")
    frames = numbers_of({frame for frame, _ in found})
    made = np.full((len(frames), _COUNT, 4), np.nan, "float32")
    for (frame, landmark), values in found.items():
        made[frames.index(frame), landmark, list(values)] = list(values.values())
    return made, frames


def _landmark(cell: str) -> int:
    """Its place by number or name, or -1."""
    if cell.isdecimal() and len(cell) < 4:
        return int(cell)
    return _BODY.numbers.get(_name_of(cell) or "", -1)


def _number(cell: str) -> float:
    """What a cell says; nothing is NaN."""
    try:
        value = float(cell) if cell else np.nan
    except ValueError as error:
        raise ValueError(f"{cell[:40]!r} is no number") from error
    if abs(value) > 3e38:
        raise UserError("a number is not finite; leave what was not seen empty")
    return value


def _is_number(cell: Any) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
