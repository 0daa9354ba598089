"""Tables as Parquet files give what the same tables give as CSV files."""

import math

import pytest

from keras_actrec.data import expand_sources, kind_of, read_manifest
from keras_actrec.errors import UserError

pytestmark = pytest.mark.no_backend

why = "needs PyArrow: pip install 'keras_actrec[parquet]'"
pyarrow = pytest.importorskip("pyarrow", reason=why)
parquet = pytest.importorskip("pyarrow.parquet", reason=why)

ROWS = {
    "Path": ["b.mp4", "sub/c.mp4", "a.mp4", "a.mp4"],
    " label": ["run", " sit ", "sit", "run"],
    "split": ["Training", "test_set", "test", "train"],
    "start": [None, 3, 0, 7],
    "stop": [None, 9, 5, None],
    "other": ["x", "y", "z", None],
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("a.mp4", "b.mp4", "sub/c.mp4"):
        (tmp_path / name).write_bytes(b"0")
    return tmp_path


def write(file, rows=ROWS, **options):
    table = pyarrow.table({name: pyarrow.array(cells) for name, cells in rows.items()})
    parquet.write_table(table, file, **options)
    return file


def write_csv(file, rows):
    lines = [
        ",".join("" if cell is None else str(cell) for cell in row)
        for row in zip(*rows.values(), strict=True)
    ]
    file.write_text("\n".join([",".join(rows), *lines, ""]))
    return file


def test_the_records_are_those_of_the_csv_file(folder):
    expected = read_manifest(write_csv(folder / "list.csv", ROWS))
    found = read_manifest(write(folder / "list.parquet"))
    assert found == expected and found.sha256 == expected.sha256
    assert [record.path for record in found.records] == ["b.mp4", "sub/c.mp4#3-9", "a.mp4#0-5", "a.mp4#7-"]
    assert expand_sources(folder / "list.parquet") == expand_sources(folder / "list.csv")
    assert kind_of(folder / "list.parquet") == "videos"


def test_a_folder_is_read_from_its_table(folder):
    write(folder / "manifest.parquet")
    assert len(read_manifest(folder).records) == 4
    write(folder / "other.parquet", {"path": ["a.mp4"], "label": ["x"]})
    assert len(read_manifest(folder, manifest="other.parquet").records) == 1
    assert kind_of(folder) == "videos"


def test_numbers_are_written_as_a_csv_file_has_them(folder):
    rows = {"path": ["a.mp4", "b.mp4"], "label": [10, 9], "group": [1.0, math.nan], "start": [2.0, math.nan]}
    first, second = read_manifest(write(folder / "list.parquet", rows)).records
    assert (first.label, second.label) == (1, 0)  # 9, 10
    assert (first.start, first.group, second.start, second.group) == (2, "1", None, "")


def test_categories_of_pandas_are_text(folder):
    labels = pyarrow.array(["run", "sit"]).dictionary_encode()
    parquet.write_table(pyarrow.table({"path": ["a.mp4", "b.mp4"], "label": labels}), folder / "l.parquet")
    assert read_manifest(folder / "l.parquet").class_names == ("run", "sit")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"label": ["run", None, "sit", "run"]}, "row 2: `label` is blank"),
        ({"label": ["run", "sit", "x" * 2000, "run"]}, "row 3: `label` has 2000 letters"),
        ({"split": ["train", "test", "other", "train"]}, "row 3: `split` must be train"),
        ({"start": [None, 3, -1, 7]}, "row 3: `start` must be the number of a frame. Received: '-1'"),
        ({"stop": [None, 9, 5, 6]}, "row 4: `stop` must be behind `start`"),
        ({"end": [1, 2, 3, 4]}, "`stop` is a frame and `end` a second"),
        ({"split": [[1], [], [], []]}, "`split` must be of text or numbers. Received: list"),
        (
            {"path": ["a.mp4", "b.mp4", "d.mp4", "e.mp4"]},
            "2 of 4 listed files are missing",
        ),
    ],
)
def test_rows_that_are_refused_are_named(folder, change, what):
    rows = {"path": ROWS["Path"], "label": ROWS[" label"], "split": ROWS["split"]}
    rows |= {"start": ROWS["start"], "stop": ROWS["stop"], **change}
    with pytest.raises(UserError, match=what.replace(".", r"\.")):
        read_manifest(write(folder / "list.parquet", rows))


def test_other_files_are_refused(folder):
    for name, content in (("empty", b""), ("text", b"path,label\n"), ("cut", None)):
        file = folder / f"{name}.parquet"
        file.write_bytes(write(folder / "whole.parquet").read_bytes()[:-9] if content is None else content)
        with pytest.raises(UserError, match="not a Parquet file that can be read") as raised:
            read_manifest(file)
        assert str(raised.value).isprintable()
    with pytest.raises(UserError, match="the column `label` is missing; its columns must name path,label"):
        read_manifest(write(folder / "one.parquet", {"path": ["a.mp4"]}))
    none = pyarrow.array([], "string")
    with pytest.raises(UserError, match="lists no videos"):
        read_manifest(write(folder / "none.parquet", {"path": none, "label": none}))


def test_more_rows_than_a_file_could_hold_are_refused(folder):
    many = pyarrow.array(["a.mp4"]).take(pyarrow.array([0] * 300_000))
    file = write(folder / "many.parquet", {"path": many, "label": many})
    assert file.stat().st_size < 10_000
    with pytest.raises(UserError, match="it claims 300000 rows"):
        read_manifest(file)
