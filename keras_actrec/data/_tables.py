"""Tables that list files, CSV or Parquet, column by column, and which part of a file a row is."""

import bisect
import csv
import functools
import itertools
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_actrec.data._readers import VIDEO_SUFFIXES, clock_of
from keras_actrec.data._video_error import VideoError
from keras_actrec.errors import UserError

TABLE_SUFFIXES = (".csv", ".parquet")

_PARQUET = ".parquet"
_MOST_LETTERS = 1024  # of a cell
_MOST_HEADER = 1 << 16  # letters of the first line of a CSV file
_FREE_ROWS = 1 << 18  # that a Parquet file may claim, or as many as it has bytes where that is more

# What people call the parts, in lower case, without what is no letter and without what `_BESIDE` has.
_SPLITS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("validation", "val", "valid", "validate", "validating"), "validation"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
}
_BESIDE = {"set", "data", "dataset", "split", "part", "videos", "clips", "frames"}


@dataclass
class Table:
    """What somebody has written, row by row.

    Attributes:
        file: where it stands.
        header: the columns that it has.
        columns: the cells of those that are asked for; blank where it has no such column.
        where: says where a row is, for messages.
    """

    file: Path
    header: Collection[str]
    columns: dict[str, list[str]]
    where: Callable[[int], str]

    def rows(self) -> Iterator[dict[str, str]]:
        """Each row: its cells by column."""
        for cells in zip(*self.columns.values(), strict=True):
            yield dict(zip(self.columns, cells, strict=True))

    def check(self, needed: Sequence[str]) -> None:
        """Refuse long cells, and blank ones in the columns `needed`."""
        for name, cells in self.columns.items():
            if max(map(len, cells)) > _MOST_LETTERS:
                row, cell = next((row, cell) for row, cell in enumerate(cells) if len(cell) > _MOST_LETTERS)
                raise UserError(f"{self.where(row)}: `{name}` has {len(cell)} letters; is a quote missing?")
            if name in needed and "" in cells:
                where = self.where(cells.index(""))
                raise UserError(f"{where}: `{name}` is blank; fill it in or remove the row")

    def name_splits(self) -> None:
        """Call the cells of `split` train, validation or test, as they may be written in many ways."""
        cells = self.columns["split"]
        of = {name: split_of(name) for name in set(cells)}
        for row, cell in enumerate(cells):
            if cell and not of[cell]:
                where = self.where(row)
                raise UserError(f"{where}: `split` must be train, validation or test. Received: {cell!r}")
        self.columns["split"] = [of[cell] for cell in cells]

    def cut(self, root: Path, fps: float | None) -> None:
        """Make frames of the cells `start`, and `stop` or `end`, where a row is a part of its file."""
        if {"stop", "end"} <= set(self.header):
            raise UserError(f"{self.file}: `stop` is a frame and `end` a second: keep one of the columns")
        paths, starts, stops = (self.columns[name] for name in ("path", "start", "stop"))
        ends = self.columns.pop("end")
        if not (any(starts) or any(stops) or any(ends)):
            return
        clocks: dict[str, tuple[float, list[float]]] = {}
        for row, (path, start, stop, end) in enumerate(zip(paths, starts, stops, ends, strict=True)):
            if not (start or stop or end):
                continue
            where = self.where(row)
            if "end" not in self.header:
                _check_frames(start, stop, where)
                continue
            if path not in clocks:
                clocks[path] = _clock(root / path, where, fps)
            starts[row], stops[row] = _in_frames(start, end, clocks[path], where)


def read_table(file: Path, needed: Sequence[str], optional: Sequence[str] = ()) -> Table:
    """A table that somebody has written.

    Args:
        file: CSV in UTF-8 with a header, or Parquet with columns of text or numbers (extra `parquet`).
        needed: columns that are there and that no row leaves blank.
        optional: columns that are blank where they are not there; all others are passed over.

    Raises:
        UserError: for another file, or one without rows.
    """
    read = _read_parquet if file.suffix.lower() == _PARQUET else _read_csv
    table = read(file, needed, optional)
    if not table.columns[needed[0]]:
        raise UserError(f"{file}: the file lists no videos; add rows of {','.join(needed)}")
    table.check(needed)
    return table


def read_cuts(
    file: Path, needed: Sequence[str], optional: Sequence[str] = (), *, fps: float | None = None
) -> Table:
    """As `read_table`, with the cells `start` and `stop` where a row is a part of its file, in frames.

    A table with the column `end` in place of `stop` has both in seconds, as tables of segments have. They
    become the frames that begin nearest to them, at least one, by the time stamps where these are not those
    of the header's rate, else `floor(seconds rate + 1/2)`.

    Args:
        file: see `read_table`.
        needed: see `read_table`.
        optional: see `read_table`.
        fps: the rate of what tells none, such as joints.

    Raises:
        UserError: as `read_table`, for numbers that are no part of a file, both `stop` and `end`, or seconds
            of a file that tells no rate.
    """
    table = read_table(file, needed, (*optional, "start", "stop", "end"))
    table.cut(file.parent, fps)
    return table


def header_of(file: Path) -> list[str]:
    """The columns of a table, whatever it holds."""
    if file.suffix.lower() == _PARQUET:
        return _names(_parquet(file).schema_arrow.names)
    with open(file, newline="", encoding="utf-8-sig", errors="replace") as lines:
        return _names(next(csv.reader([lines.readline(_MOST_HEADER)]), []))


def _names(header: Iterable[str]) -> list[str]:
    """Columns by the names that we give them, however they are written: `Path`, ` start`."""
    return [name.strip().lower() for name in header]


def _check_header(file: Path, columns: list[str], needed: Sequence[str], optional: Sequence[str]) -> None:
    for column in needed:
        if column not in columns:
            also = f" (optionally {','.join(optional)})" if optional else ""
            first = "the first line" if file.suffix.lower() != _PARQUET else "its columns"
            raise UserError(
                f"{file}: the column `{column}` is missing; {first} must name "
                f"{','.join(needed)}{also}. Received: {','.join(columns)[:200]!r}"
            )


def _read_csv(file: Path, needed: Sequence[str], optional: Sequence[str]) -> Table:
    rows, numbers = [], []
    with open(file, newline="", encoding="utf-8-sig") as lines:
        reader = csv.reader(lines, skipinitialspace=True)
        try:
            header = _names(next(reader, []))
            _check_header(file, header, needed, optional)
            for cells in reader:
                if cells:
                    rows.append(cells)
                    numbers.append(reader.line_num)
        except (UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"{file}: not a CSV file in UTF-8 ({error})") from error
    columns = {}
    for name in (*needed, *optional):
        place = header.index(name) if name in header else len(header)
        there = name in header
        columns[name] = [row[place].strip() if there and place < len(row) else "" for row in rows]
    return Table(file, header, columns, lambda row: f"{file}, line {numbers[row]}")


def _read_parquet(file: Path, needed: Sequence[str], optional: Sequence[str]) -> Table:
    content = _parquet(file)
    schema, count = content.schema_arrow, content.metadata.num_rows
    header = _names(schema.names)
    _check_header(file, header, needed, optional)
    if count > max(_FREE_ROWS, file.stat().st_size):
        raise UserError(f"{file}: it claims {count} rows, more than it could hold; write it again")
    columns = {name: [""] * count for name in (*needed, *optional)}
    for name in columns:
        if name in header:
            field = schema.field(header.index(name))
            columns[name] = _parquet_cells(file, content, name, field)
    return Table(file, header, columns, lambda row: f"{file}, row {row + 1}")


def _parquet_cells(file: Path, content: Any, name: str, field: Any) -> list[str]:
    """A column as a CSV file would have it."""
    from pyarrow import types

    kind = field.type.value_type if types.is_dictionary(field.type) else field.type
    text = types.is_string(kind) or types.is_large_string(kind)
    if not (text or types.is_integer(kind) or types.is_floating(kind) or types.is_null(kind)):
        raise UserError(f"{file}: `{name}` must be of text or numbers. Received: {str(kind)[:200]}")
    try:
        cells = content.read(columns=[field.name]).column(0).to_pylist()
        if len(cells) != content.metadata.num_rows:
            raise ValueError(f"{name!r} has {len(cells)} rows of {content.metadata.num_rows}")
    except Exception as error:  # a damaged file ends in whatever Arrow met first
        raise _not_parquet(file, error) from error
    return [(cell or "").strip() for cell in cells] if text else [cell_of(cell) for cell in cells]


def cell_of(number: float | None) -> str:
    """As in a CSV file; Pandas makes floating-point numbers of whole ones among which some are missing."""
    if number is None or (isinstance(number, float) and math.isnan(number)):
        return ""
    return str(int(number)) if isinstance(number, float) and number.is_integer() else str(number)


def _parquet(file: Path) -> Any:
    """An open Parquet file."""
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise UserError(
            f"{file}: Parquet files need the extra `parquet`: pip install 'keras_actrec[parquet]'"
        ) from error
    try:
        return parquet.ParquetFile(file)
    except Exception as error:
        raise _not_parquet(file, error) from error


def _not_parquet(file: Path, error: Exception) -> UserError:
    why = " ".join(str(error).split())[:200] or type(error).__name__
    return UserError(f"{file}: not a Parquet file that can be read ({why}); write it again")


def _check_frames(start: str, stop: str, where: str) -> None:
    for name, cell in (("start", start), ("stop", stop)):
        if cell and not re.fullmatch("[0-9]{1,9}", cell):
            raise UserError(f"{where}: `{name}` must be the number of a frame. Received: {cell!r}")
    if stop and int(stop) <= int(start or 0):
        raise UserError(f"{where}: `stop` must be behind `start`. Received: {stop!r}")


def _in_frames(start: str, end: str, clock: tuple[float, list[float]], where: str) -> tuple[str, str]:
    """The cells `start` and `stop` of a part in seconds."""
    begin = _seconds(start, "start", where) if start else 0.0
    first = _frame_at(begin, *clock)
    if not end:
        return str(first), ""
    until = _seconds(end, "end", where)
    if until <= begin:
        raise UserError(f"{where}: `end` must be behind `start`. Received: {end!r}")
    return str(first), str(max(_frame_at(until, *clock), first + 1))


def _seconds(cell: str, name: str, where: str) -> float:
    try:
        seconds = float(cell)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e9:
        raise UserError(f"{where}: `{name}` must be seconds, 0 or more. Received: {cell!r}")
    return seconds


def _frame_at(seconds: float, rate: float, times: Sequence[float]) -> int:
    """Number of the frame that begins nearest to it; beyond the end they go on at the rate."""
    if len(times) > 1:
        end = 2 * times[-1] - times[-2]
        if seconds < end:
            middles = [(early + late) / 2 for early, late in itertools.pairwise([*times, end])]
            return bisect.bisect_right(middles, seconds)
        return len(times) + math.floor((seconds - end) * rate + 0.5)
    return math.floor(seconds * rate + 0.5)


def _clock(path: Path, where: str, fps: float | None) -> tuple[float, list[float]]:
    """See `clock_of`; any rate of a video that cannot be read, as it is named when it is read."""
    try:
        rate, times = clock_of(path)
    except VideoError:
        if path.suffix.lower() in VIDEO_SUFFIXES or not path.exists():
            return 1.0, []
        rate, times = 0.0, []
    if not rate and fps is None:
        raise UserError(
            f"{where}: {path} tells no frames a second: give `start` and `stop`, which are frames"
        )
    return rate or fps or 0.0, times


@functools.lru_cache(1024)  # a set names few, in many rows
def split_of(name: str) -> str:
    """The split that a folder or a cell is named after, or nothing."""
    words = [word for word in re.split(r"[^a-z]+", name.lower()) if word not in {"", *_BESIDE}]
    if len(words) != 1:
        return ""
    (word,) = words
    return _SPLITS.get(word) or _SPLITS.get(word.removesuffix("set").removesuffix("data"), "")
