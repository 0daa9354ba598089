"""Files that are complete or do not exist, and the formats that are written."""

import csv
import errno
import hashlib
import io
import json
import os
import tomllib
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from types import SimpleNamespace
from typing import Any

import tomli_w

from keras_actrec._locks import is_free, make_folder
from keras_actrec._text import shown
from keras_actrec.errors import DiskFullError, UserError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def naming_full_disk(path: str | os.PathLike[str], again: str = "goes on") -> Iterator[None]:
    """Name the file for which a disk has no room, which the error of a write does not.

    Args:
        path: the file.
        again: what the same command does when there is room.

    Raises:
        DiskFullError: in the place of such an error, or of one that followed from it.
    """
    try:
        yield
    except DiskFullError:
        raise
    except Exception as error:
        if is_disk_full(error):
            raise DiskFullError(path, again) from error
        raise


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error is about a disk without room, or one of those that it came after."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:  # what is raised again may be its own cause
        if isinstance(error, DiskFullError) or (isinstance(error, OSError) and error.errno in _FULL):
            return True
        seen.append(error)
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def replacing(
    path: str | os.PathLike[str], *, durable: bool = False, keep: str | os.PathLike[str] | None = None
) -> Iterator[Path]:
    """Yield a path next to `path` to write to; it becomes `path` when the block ends without an error.

    The name is a new one every time, so that two processes can write the same file: the last one's stays. It
    begins with `.part-`, so that folder readers skip what a killed process leaves, and keeps the suffix, by
    which OpenCV and Keras tell formats. Missing folders are made.

    Args:
        path: the file.
        durable: whether the disk has it when the block has ended, so that it outlives a loss of power.
        keep: what the file that `path` was is called then, which else is gone.

    Raises:
        UserError: `path` is a pipe or a device, whose name would be the file's then.
        DiskFullError: there is no room for it.
    """
    path = Path(path)
    _check_regular(path)
    part = path.with_name(f".part-{uuid.uuid4().hex[:8]}-{path.name}")
    with naming_full_disk(path):
        make_folder(path.parent)
        try:
            yield part
            if durable:
                _sync(part)
            if keep is not None and path.exists():
                os.replace(path, keep)
            os.replace(part, path)
            if durable:
                _sync(path.parent)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def _check_regular(path: Path) -> None:
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UserError(f"{path} is no regular file: name another one")


def _sync(path: Path) -> None:
    """Has the disk take what was written to a file, or the names in a folder."""
    if path.is_dir() and os.name == "nt":  # where folders cannot be opened, and names are written at once
        return
    handle = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text in UTF-8, complete or not at all. Lines end with a line feed on every system."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | os.PathLike[str], values: Any, *, indent: int | None = 2) -> None:
    """Write plain values as JSON, complete or not at all; with `indent=None` in one line."""
    write_text(path, json.dumps(values, indent=indent) + "\n")


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a file in UTF-8.

    Raises:
        OSError: for a file that cannot be read.
        ValueError: for another text, and for a pipe, a device or a folder: of these reading might never end.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise ValueError("it is no regular file")
    return path.read_text(encoding="utf-8")


def read_json(path: str | os.PathLike[str], hint: str) -> Any:
    """Plain values from JSON.

    Args:
        path: the file.
        hint: what an error says behind the file's name: what to do.

    Raises:
        UserError: for a file that does not exist or is not JSON.
    """
    try:
        return json.loads(read_text(path))
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist: {hint}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON: {hint}") from error


def file_sha256(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's content, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_csv(
    path: str | os.PathLike[str], rows: Iterable[Mapping[str, Any]], columns: Sequence[str] | None = None
) -> None:
    """Write rows, dicts by column, as CSV with a header, complete or not at all.

    Args:
        path: the file.
        rows: what a row lacks is an empty cell.
        columns: the header, by default the columns of the first row. A row with another one is an error.
    """
    rows = list(rows)
    columns = columns or list(rows[0])
    with (
        replacing(path) as part,
        open(part, "w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        write = _row_writer(file, columns)
        for row in [dict(zip(columns, columns, strict=True)), *rows]:
            write(row)


def _row_writer(file: Any, columns: Sequence[str]) -> Callable[[Mapping[str, Any]], object]:
    """A function that writes a row, a dict by column, with `file.write`. What a row lacks is an empty cell.

    Python leaves a carriage return without quotes, in which readers see the end of a row.
    """
    plain, quoted = (
        csv.DictWriter(file, columns, restval="", lineterminator="\n", quoting=quoting)
        for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
    )
    return lambda row: (quoted if "\r" in "".join(map(str, row.values())) else plain).writerow(row)


@contextmanager
def growing_csv(
    path: str | os.PathLike[str], columns: Sequence[str]
) -> Iterator[Callable[[Mapping[str, Any]], object]]:
    """Yield a function that appends a row, a dict by column, to a new CSV file with a header.

    The row is in the file when the function returns, so that a killed process leaves what it had. What a row
    lacks is an empty cell. What UTF-8 does not have, in names of files, is written as an escape.
    """
    with growing_text(path) as append:
        write = _row_writer(SimpleNamespace(write=append), columns)
        write(dict(zip(columns, columns, strict=True)))
        yield write


@contextmanager
def growing_json(path: str | os.PathLike[str]) -> Iterator[Callable[[Any], None]]:
    """Yield a function that appends plain values to a new file.

    A file `.jsonl` gets a line each time the function is called. Any other is a list, which is written,
    complete or not at all, when the block ends, whether with an error or an interruption or without.
    """
    path = Path(path)
    if path.suffix.lower() == ".jsonl":
        with growing_text(path) as append:
            yield lambda values: append(json.dumps(values) + "\n")
        return
    _check_place(path)
    rows: list[Any] = []
    try:
        yield rows.append
    finally:
        write_json(path, rows)


@contextmanager
def growing_text(path: str | os.PathLike[str], *, new: bool = True) -> Iterator[Callable[[str], None]]:
    """Yield a function that appends text to a file, which has it when the function returns.

    Args:
        path: the file; folders are made.
        new: whether it begins empty.

    Raises:
        UserError: another process is writing it.
        DiskFullError: there is no room for it.
    """
    with naming_full_disk(path):
        make_folder(Path(path).parent)
        file = open(path, "ab", buffering=0)  # a buffer would be written again when the file is closed
    with file:
        if not is_free(file.fileno()):
            raise UserError(f"{path}: another process is writing it; wait, or name another file")
        if new and Path(path).is_file():  # and no pipe or terminal
            file.truncate(0)

        def append(text: str) -> None:
            left = memoryview(text.encode("utf-8", "backslashreplace"))
            with naming_full_disk(path, "starts anew" if new else "goes on"):
                while left:
                    left = left[file.write(left) :]

        yield append


def _check_place(path: Path) -> None:
    """Refuses now, and not after all work is done, where no file can be written."""
    if path.is_dir():
        raise UserError(f"{path} is a folder: name a file")
    _check_regular(path)
    make_folder(path.parent)
    with TemporaryFile(dir=path.parent):
        pass


def read_csv(path: str | os.PathLike[str], columns: Sequence[str] | None = None) -> list[dict[str, str]]:
    """The lines of a CSV file with a header, dicts by column, without the mark that spreadsheets begin with.

    Args:
        path: the file.
        columns: what the header must be, unless the file is empty; then every line must have as many cells.

    Raises:
        UserError: for a file that is not CSV in UTF-8, or has other columns.
    """
    try:
        lines = csv.DictReader(io.StringIO(read_text(path).removeprefix("\ufeff"), newline=""))
        rows = list(lines)
    except (csv.Error, ValueError) as error:
        raise UserError(f"{path} is not CSV in UTF-8 ({error})") from error
    if columns is not None and (
        list(lines.fieldnames or columns) != list(columns)
        or any(None in row or None in row.values() for row in rows)
    ):
        raise UserError(f"{path} has other columns than {','.join(columns)}: name another CSV file")
    return rows


_MOST_TOML = 1_000_000  # bytes
_MOST_TEXT = 1000  # characters
_MOST_LEVELS = 16
_NESTED = f"tables or lists are in each other more than {_MOST_LEVELS} times: take them apart"


def read_toml(path: Path) -> dict[str, Any]:
    """Nested dicts from a TOML file.

    Raises:
        UserError: for a file that is not TOML in UTF-8.
    """
    if path.stat().st_size > _MOST_TOML:
        raise UserError(f"{path} is no recipe or study: it has more than {_MOST_TOML} bytes")
    try:
        return parse_toml(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not TOML: {error}") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def parse_toml(text: str) -> dict[str, Any]:
    """Nested dicts from TOML.

    Raises:
        UserError: for tables or lists in each other beyond any use, a number of thousands of digits, or as
            `check_text`.
        tomllib.TOMLDecodeError: for other text that is not TOML.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except ValueError as error:  # Python reads no decimal number of more than 4300 digits
        raise UserError("a whole number has thousands of digits: shorten it") from error
    except RecursionError as error:
        raise UserError(_NESTED) from error
    level: list[Any] = [values]
    for _ in range(_MOST_LEVELS):
        level = [inner for each in level for inner in _inner(each)]
        for each in level:
            if isinstance(each, str):
                check_text(each)
    if level:
        raise UserError(_NESTED)
    return values


def check_text(text: str) -> None:
    """Refuse a text of a recipe, which messages would repeat, of more than a thousand characters."""
    if len(text) > _MOST_TEXT:
        raise UserError(f"{shown(text)} has {len(text)} characters: at most {_MOST_TEXT} are taken")


def _inner(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return (*value, *value.values())
    return value if isinstance(value, list) else ()


def to_toml(values: Mapping[str, Any]) -> str:
    """Nested dicts as TOML, each list in one line."""
    lines, depth = [], 0
    # `tomli_w` gives every item a line of its own. Strings hold no line breaks: it escapes them.
    for line in tomli_w.dumps(values, indent=0).removesuffix("\n").split("\n"):
        if depth == 0:
            lines.append(line)
        elif line.startswith("]"):
            lines[-1] = lines[-1].removesuffix(" ").removesuffix(",") + line
        else:
            lines[-1] += line
        if depth and line.endswith(","):
            lines[-1] += " "
        depth += line.endswith("[") - (depth > 0 and line in ("]", "],"))
    return "\n".join(lines) + "\n"


def write_block(path: str | os.PathLike[str], name: str, block: str, *, heading: str | None = None) -> None:
    """Put a block between the marks `<!-- name:begin -->` and `<!-- name:end -->` of a Markdown page.

    Args:
        path: the page; what is outside the marks stays.
        name: of the marks.
        block: the text between them.
        heading: first line of a page that does not exist, which is made. With a heading a page without the
            marks gets them at its end.

    Raises:
        UserError: without a heading, for a page that does not exist or has no such marks.
    """
    path = Path(path)
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    if path.exists():
        text = path.read_text(encoding="utf-8")
    elif heading is not None:
        text = f"{heading}\n"
    else:
        raise UserError(f"{path} does not exist: make it, with the lines {begin} and {end}")
    before, first, rest = text.partition(begin)
    _, second, after = rest.partition(end)
    if not (first and second):
        if heading is None:
            raise UserError(f"{path} has no marks for {name}: add the lines {begin} and {end}")
        before, after = f"{text.rstrip()}\n\n", "\n"
    write_text(path, f"{before}{begin}\n{block}\n{end}{after}")
