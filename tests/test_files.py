"""What is written: whole files or none, and what each format looks like."""

import errno
import json
import os
import tomllib

import pytest

import hostile
from keras_actrec._files import (
    growing_csv,
    growing_json,
    is_disk_full,
    read_csv,
    read_json,
    read_toml,
    replacing,
    to_toml,
    write_block,
    write_csv,
    write_json,
    write_text,
)
from keras_actrec.errors import DiskFullError, UserError


def test_a_text_ends_its_lines_with_a_line_feed_and_leaves_nothing_else(tmp_path):
    write_text(tmp_path / "new" / "a.txt", "ä\nb\n")
    assert (tmp_path / "new" / "a.txt").read_bytes() == "ä\nb\n".encode()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.txt"]


def test_json_is_indented_or_one_line(tmp_path):
    write_json(tmp_path / "a.json", {"b": [1]})
    assert (tmp_path / "a.json").read_text() == '{\n  "b": [\n    1\n  ]\n}\n'
    write_json(tmp_path / "a.json", {"b": [1]}, indent=None)
    assert (tmp_path / "a.json").read_text() == '{"b": [1]}\n'


def test_csv_has_a_header_quotes_and_empty_cells(tmp_path):
    write_csv(tmp_path / "a.csv", iter([{"a": 1, "b": "x, y"}, {"a": 2}]))
    assert (tmp_path / "a.csv").read_bytes() == b'a,b\n1,"x, y"\n2,\n'
    write_csv(tmp_path / "a.csv", [], ["a", "b"])
    assert (tmp_path / "a.csv").read_bytes() == b"a,b\n"


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_json(path, {"a": object()}),
        lambda path: write_csv(path, [{"a": 1}, {"b": 2}]),
        lambda path: write_text(path, "\ud800"),
    ],
)
def test_what_cannot_be_written_leaves_the_file_as_it_was(tmp_path, write):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises((TypeError, ValueError)):
        write(path)
    assert path.read_text() == "old" and [each.name for each in tmp_path.iterdir()] == ["file"]


def test_toml_has_a_table_a_paragraph_and_a_list_a_line():
    values = {
        "model": {"name": "hman", "units": [4, 5, 6], "none": []},
        "clip": {"swap": [[0, 1], [4, 3]], "flip": True, "rate": 1e-7},
        "space": {"model.name": {"values": ["a", "b"], "when": {"x": [1.5]}}},
    }
    assert to_toml(values) == (
        '[model]\nname = "hman"\nunits = [4, 5, 6]\nnone = []\n\n'
        "[clip]\nswap = [[0, 1], [4, 3]]\nflip = true\nrate = 1e-07\n\n"
        '[space."model.name"]\nvalues = ["a", "b"]\n\n[space."model.name".when]\nx = [1.5]\n'
    )


@pytest.mark.parametrize(
    "value",
    [
        ["a[", "]", "],", "b,", "c = [", ""],
        "three\nlines [\n]",
        ['Zürich "first" \\ list\t\u2028\x85\x7f', "\r"],
        [[], [[]], [[1], []]],
        [{"a": 1}, {"a": [2, {"b": []}]}],
        {"a b": {"": [True, -1, 2.0]}},
        [0.1, 1e300],
    ],
)
def test_toml_is_read_back_as_the_same(value):
    text = to_toml({"table": {"key": value, "after": [1, 2]}})
    assert tomllib.loads(text) == {"table": {"key": value, "after": [1, 2]}}
    assert json.dumps(tomllib.loads(text)["table"]["key"]) == json.dumps(value)  # 2.0 is no 2


PAGE = "# Title\n\nBefore.\n<!-- a:begin -->\nold\n<!-- a:end -->\nAfter.\n<!-- b:begin -->\n<!-- b:end -->\n"


def test_a_block_is_put_between_its_marks_and_nowhere_else(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    write_block(page, "a", "one\ntwo")
    assert page.read_text() == PAGE.replace("old", "one\ntwo")
    write_block(page, "b", "three", heading="# Not used")
    expected = PAGE.replace("old", "one\ntwo").replace("b:begin -->\n", "b:begin -->\nthree\n")
    assert page.read_text() == expected


def test_with_a_heading_a_page_or_its_marks_are_made(tmp_path):
    write_block(tmp_path / "new.md", "a", "text", heading="# New")
    assert (tmp_path / "new.md").read_text() == "# New\n\n<!-- a:begin -->\ntext\n<!-- a:end -->\n"
    (tmp_path / "old.md").write_text("# Old\n\nWords.\n\n")
    for text in ("text", "other"):
        write_block(tmp_path / "old.md", "a", text, heading="# New")
        assert (tmp_path / "old.md").read_text() == (
            f"# Old\n\nWords.\n\n<!-- a:begin -->\n{text}\n<!-- a:end -->\n"
        )


def test_without_a_heading_a_page_without_marks_is_refused_and_stays(tmp_path):
    page = tmp_path / "page.md"
    with pytest.raises(UserError, match="page.md does not exist: make it, with the lines <!-- c:begin -->"):
        write_block(page, "c", "text")
    page.write_text(PAGE)
    with pytest.raises(UserError, match="page.md has no marks for c: add the lines <!-- c:begin --> and"):
        write_block(page, "c", "text")
    assert page.read_text() == PAGE


@pytest.mark.parametrize("read", [lambda path: read_json(path, "write it"), read_toml])
@pytest.mark.parametrize(
    "text",
    ["[" * 200_000, 'a = {"b" = ' * 200_000, 'a = {"b" = ' * 20_000, "1" * 10_000 + "=", "\0", "\ud800"],
)
def test_what_is_no_json_or_toml_is_one_short_line(read, text, tmp_path):
    path = tmp_path / "a"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with hostile.limits(), pytest.raises(UserError, match="is not (JSON|TOML): |is no recipe") as caught:
        read(path)
    assert str(caught.value).isprintable() and len(str(caught.value)) < len(str(path)) + 300


@pytest.mark.parametrize("content", [b"a,b\n\xff,1\n", b"a,b\n" + b"x" * 200_000 + b",1\n"])
def test_what_is_no_csv_is_one_line(content, tmp_path):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(UserError, match="a.csv is not CSV in UTF-8"):
        read_csv(tmp_path / "a.csv")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "wrapped"])
def test_a_full_disk_is_named_with_the_file_and_what_was_there_stays(tmp_path, number, wrapped):
    file = tmp_path / "a.txt"
    file.write_text("before")
    with pytest.raises(DiskFullError) as full, replacing(file, keep=tmp_path / "b.txt") as part:
        part.write_text("half")
        try:
            raise OSError(number, os.strerror(number))
        except OSError as error:
            if wrapped:  # as zip and Keras do
                raise ValueError("cannot close") from error
            raise
    line = "cannot be written, the disk is full: make room, and the same command goes on"
    assert str(full.value) == f"{file} {line}"
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.txt": "before"}


def test_another_error_stays_what_it_is(tmp_path):
    with pytest.raises(PermissionError), replacing(tmp_path / "a.txt"):
        raise PermissionError(errno.EACCES, "no")
    own = ValueError()
    own.__context__ = KeyError()
    own.__context__.__cause__ = own
    assert not is_disk_full(own) and not is_disk_full(PermissionError(errno.EACCES, "no"))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a disk that is always full is a device of Linux")
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_growing_file_on_a_full_disk_is_named(tmp_path, name):
    file = tmp_path / name
    file.symlink_to("/dev/full")
    with pytest.raises(DiskFullError, match=rf"{name} cannot be written, the disk is full: make room, and"):
        if name == "a.csv":
            with growing_csv(file, ["a"]) as write:
                write({"a": 1})
        else:
            with growing_json(file) as write:
                write({"a": 1})


def test_two_processes_do_not_write_one_growing_file(tmp_path):
    with growing_csv(tmp_path / "a.csv", ["a"]) as write:
        write({"a": 1})
        with (
            pytest.raises(
                UserError, match="a.csv: another process is writing it; wait, or name another file"
            ),
            growing_csv(tmp_path / "a.csv", ["a"]),
        ):
            pass
        write({"a": 2})
    assert (tmp_path / "a.csv").read_text() == "a\n1\n2\n"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are of Unix")
def test_a_pipe_or_a_device_does_not_become_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        with pytest.raises(UserError, match=f"{name} is no regular file: name another one"):
            write_json(tmp_path / name, {})
        with (
            pytest.raises(UserError, match=f"{name} is no regular file: name another one"),
            growing_json(tmp_path / name),
        ):
            pytest.fail("it is said before anything is done")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pipe", "zero"]
    assert (tmp_path / "pipe").is_fifo() and (tmp_path / "zero").is_symlink()


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "file").touch()
    for write in (lambda path: write_json(path, {}), lambda path: growing_json(path).__enter__()):
        with pytest.raises(UserError, match="file cannot be a folder, there is a file: choose another place"):
            write(tmp_path / "file" / "a.json")
