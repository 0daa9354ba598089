"""Features of one's own: what a file may hold, what is read of it, and how a bad one is named."""

import pickle
import zipfile

import numpy as np
import pytest

from keras_actrec.data import (
    FeatureFile,
    Record,
    VideoError,
    audit_videos,
    index_features,
    open_features,
    read_audit,
    read_dataset,
    read_set,
    read_whole,
)
from keras_actrec.errors import UserError

pytestmark = pytest.mark.no_backend

VECTORS = np.arange(12.0).reshape(4, 3)  # a step is (3 t, 3 t + 1, 3 t + 2)
MAPS = np.arange(48.0).reshape(2, 2, 3, 4)


def saved(path, array, **options):
    """Writes an array under a name, and its folder; a dict of arrays into a `.npz`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npz":
        write = np.savez_compressed if options.get("compressed") else np.savez
        write(path, **(array if isinstance(array, dict) else {"x": array}))
    else:
        np.save(path, array, **options)
    return path


def records(folder, *arrays, names=None):
    """A record for each array, saved as `0.npy`, `1.npy`, ..."""
    paths = [saved(folder / f"{place}.npy", array) for place, array in enumerate(arrays)]
    return [Record(path, path.name, place % 2) for place, path in enumerate(paths)]


@pytest.mark.parametrize(
    "dtype", ["float16", "float32", "float64", ">f4", "longdouble", "int8", "uint16", "int64", ">i4"]
)
@pytest.mark.parametrize("array", [VECTORS, MAPS], ids=["vectors", "maps"])
def test_numbers_of_any_type_are_read_as_float32(array, dtype, tmp_path):
    file = open_features(saved(tmp_path / "a.npy", array.astype(dtype)))
    assert (file.frames, file.step, file.shape) == (len(array), array.shape[1:], array.shape)
    assert np.dtype(file.dtype) == np.dtype(dtype)
    steps = file.read([1, 0, 1])
    assert steps.dtype == "float32" and steps.flags.c_contiguous
    np.testing.assert_array_equal(steps, array[[1, 0, 1]])


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("array", [VECTORS, MAPS], ids=["vectors", "maps"])
def test_an_array_that_was_turned_over_before_it_was_saved_is_read(array, suffix, tmp_path):
    turned = np.asfortranarray(array)
    file = open_features(saved(tmp_path / f"a{suffix}", turned))
    file.check()
    np.testing.assert_array_equal(file.read([1, 1, 0]), array[[1, 1, 0]])


@pytest.mark.parametrize("compressed", [False, True])
def test_an_archive_has_one_array_or_one_named_features(compressed, tmp_path):
    one = saved(tmp_path / "one.npz", {"anything": VECTORS}, compressed=compressed)
    named = {"a": MAPS, "features": VECTORS, "z": np.array("text")}
    several = saved(tmp_path / "several.npz", named, compressed=compressed)
    for path in (one, several):
        file = open_features(path)
        file.check()
        np.testing.assert_array_equal(file.read([3, 0, 1]), VECTORS[[3, 0, 1]])


def test_the_kind_of_a_file_is_told_by_its_content(tmp_path):
    (tmp_path / "a.npy").write_bytes(saved(tmp_path / "b.npz", VECTORS).read_bytes())
    np.testing.assert_array_equal(open_features(tmp_path / "a.npy").read([2]), VECTORS[[2]])


def test_only_the_steps_that_are_asked_for_are_read(tmp_path):
    path = tmp_path / "huge.npy"
    header = {"descr": "<f4", "fortran_order": False, "shape": (2**21, 1024)}
    with open(path, "wb") as raw:  # 8 GB of zeros that take no room on the disk
        np.lib.format.write_array_header_1_0(raw, header)
        start = raw.tell()
        raw.truncate(start + 2**33)
        raw.seek(start + 4096 * 2_000_000)
        raw.write(np.full(1024, 7, "<f4").tobytes())
    file = open_features(path)
    assert file.read([0, 2_000_000, 2**21 - 1]).mean(axis=1).tolist() == [0, 7, 0]


def test_a_file_is_read_through_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("keras_actrec.data.features._BLOCK", 8 * 3 * 2)  # two steps
    array = np.tile(VECTORS, (2, 1))
    for suffix in (".npy", ".npz"):
        open_features(saved(tmp_path / f"a{suffix}", array)).check()
        array[7, 1] = np.nan
        with pytest.raises(VideoError, match="step 7 holds what is not a finite number"):
            open_features(saved(tmp_path / f"a{suffix}", array)).check()
        array[7, 1] = 0


@pytest.mark.parametrize("indices", [[], [4], [-1], [[0]]])
def test_steps_that_are_not_there_are_refused(indices, tmp_path):
    file = open_features(saved(tmp_path / "a.npy", VECTORS))
    with pytest.raises(UserError, match="`indices` must be numbers of steps from 0 to 3, one or more"):
        file.read(indices)


SHAPE = r"save vectors \(T, D\) or maps \(T, H, W, D\), channels last with np.save"


@pytest.mark.parametrize(
    "array, status, message",
    [
        (np.array([{"a": 1}, [2]], dtype=object), "unreadable", "pickled objects are never loaded; save num"),
        (np.zeros((0, 3)), "empty", "there are no steps in it"),
        (np.zeros(3), "unreadable", rf"its array has the shape \(3,\); {SHAPE}"),
        (np.zeros(()), "unreadable", rf"its array has the shape \(\); {SHAPE}"),
        (np.zeros((1, 4, 3)), "unreadable", rf"its array has the shape \(1, 4, 3\); {SHAPE}"),
        (np.zeros((4, 1, 2, 2, 3)), "unreadable", SHAPE),
        (np.zeros((4, 0)), "unreadable", SHAPE),
        (np.zeros((4, 2, 0, 3)), "unreadable", SHAPE),
        (np.array([["a", "b"]]), "unreadable", "its array is of type <U1; save numbers with np.save"),
        (np.ones((2, 3), bool), "unreadable", "its array is of type bool"),
        (np.ones((2, 3), complex), "unreadable", "its array is of type complex128"),
        (np.zeros((2, 3), [("a", "f4")]), "unreadable", "its array is of type"),
        (
            np.array([[0, 1], [np.nan, 0]]),
            "unreadable",
            "step 1 holds what is not a finite number in float32",
        ),
        (np.array([[0, -np.inf]]), "unreadable", "step 0 holds what is not a finite number in float32"),
        (np.array([[0, 1e300]]), "unreadable", "step 0 holds what is not a finite number in float32"),
    ],
)
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_what_a_file_must_not_hold_is_named(array, status, message, suffix, tmp_path):
    path = saved(tmp_path / f"a{suffix}", array)
    with pytest.raises(VideoError, match=message) as error:
        open_features(path).check()
    assert error.value.status == status
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


def test_a_pickled_object_is_not_loaded(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (tmp_path / "it was").touch, ()

    for suffix in (".npy", ".npz"):
        path = saved(tmp_path / f"a{suffix}", np.array([[Bomb()]], dtype=object))
        with pytest.raises(VideoError, match="pickled objects are never loaded"):
            open_features(path)
    (tmp_path / "b.npy").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(VideoError, match="not a .npy or .npz file of NumPy"):
        open_features(tmp_path / "b.npy")
    assert not (tmp_path / "it was").exists()


@pytest.mark.parametrize(
    "arrays, names",
    [({"a": VECTORS, "b": VECTORS}, "a, b"), ({}, "none"), ({str(n): MAPS for n in range(9)}, "")],
)
def test_an_archive_that_leaves_the_choice_is_refused(arrays, names, tmp_path):
    path = saved(tmp_path / "a.npz", arrays)
    with pytest.raises(VideoError, match=f"its arrays are {names}.*; save one alone, or name it `features`"):
        open_features(path)


def header(**values):
    """A file whose header says what it likes, and twelve numbers."""
    values = {"descr": "<f4", "fortran_order": False, "shape": (4, 3)} | values
    text = f"{values}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(48)


@pytest.mark.parametrize(
    "content, status",
    [
        (b"", "unreadable"),
        (b"P", "unreadable"),
        (b"PK\x03\x04" + bytes(60), "unreadable"),
        (b"\x93NUMPY", "unreadable"),
        (b"\x93NUMPY\x09\x00" + bytes(60), "unreadable"),
        (b"0.1,0.2\n0.3,0.4\n", "unreadable"),
        (header(shape="(4, 3"), "unreadable"),
        (header(shape=(4.0, 3)), "unreadable"),
        (header(shape=(-4, -3)), "unreadable"),
        (header(descr="nothing"), "unreadable"),
        (header(shape=(10**12, 10**12)), "truncated"),
        (header(shape=(10**12, 3)), "truncated"),
        (header(shape=(4, 4)), "truncated"),
    ],
)
def test_what_is_no_file_of_features_is_named(content, status, tmp_path):
    path = tmp_path / "a.npy"
    path.write_bytes(content)
    with pytest.raises(VideoError) as error:
        open_features(path)
    assert error.value.status == status
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


def test_the_header_of_these_tests_is_one_that_numpy_reads(tmp_path):
    (tmp_path / "a.npy").write_bytes(header())
    assert np.load(tmp_path / "a.npy").shape == open_features(tmp_path / "a.npy").shape == (4, 3)


def test_a_cut_file_says_how_much_of_it_is_there(tmp_path):
    path = saved(tmp_path / "a.npy", VECTORS)
    path.write_bytes(path.read_bytes()[:-25])  # a step is 24 bytes
    with pytest.raises(VideoError, match="only 2 of 4 claimed steps are there") as error:
        open_features(path)
    assert (error.value.status, error.value.counts) == ("truncated", (2, 4))


@pytest.mark.parametrize("compressed", [False, True])
def test_a_flipped_bit_in_an_archive_is_found(compressed, tmp_path):
    path = saved(tmp_path / "a.npz", np.random.default_rng(0).normal(size=(50, 8)), compressed=compressed)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(VideoError) as error:
        open_features(path).check()
    assert error.value.status == "unreadable"


def test_an_archive_cut_in_half_is_unreadable(tmp_path):
    path = saved(tmp_path / "a.npz", VECTORS)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(VideoError, match="not a .npy or .npz file of NumPy"):
        open_features(path)


def test_an_archive_whose_member_is_shorter_than_it_says_is_cut_off(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", header(shape=(5, 3)))
    with pytest.raises(VideoError, match="only 4 of 5 claimed steps") as error:
        open_features(tmp_path / "a.npz")
    assert error.value.status == "truncated"


def test_a_file_that_changes_or_goes_while_it_is_in_use_is_named(tmp_path):
    path = saved(tmp_path / "a.npy", VECTORS)
    file = open_features(path)
    saved(path, np.zeros((3, 3)))
    with pytest.raises(VideoError, match="it changed while it was in use; run again"):
        file.read([0])
    path.unlink()
    with pytest.raises(VideoError, match="it cannot be read"):
        file.read([0])


@pytest.mark.parametrize("what", ["folder", "nothing"])
def test_what_is_no_file_is_named(what, tmp_path):
    if what == "folder":
        (tmp_path / "a.npy").mkdir()
    words = "it is no regular file; remove it" if what == "folder" else "file not found; check the path"
    with pytest.raises(VideoError, match=f"a.npy: {words}"):
        open_features(tmp_path / "a.npy")


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_part_is_read_as_a_file_of_its_own(order, tmp_path):
    steps = np.asarray(np.arange(60.0).reshape(10, 6), order=order)
    steps[9] = np.nan
    file = open_features(saved(tmp_path / "a.npy", steps))
    part = file.between(2, 8)
    assert (part.frames, part.shape, part.step) == (6, (6, 6), (6,))
    part.check()
    np.testing.assert_array_equal(part.read([5, 0]), steps[[7, 2]])
    np.testing.assert_array_equal(part.between(1, None).read(range(5)), steps[3:8])
    assert file.between(None, 11).frames == 10  # more than nine tenths are there
    with pytest.raises(VideoError, match="a.npy: step 9 holds what is not a finite number"):
        file.between(8, None).check()
    for start, stop in ((10, None), (10, 11), (0, 12)):
        with pytest.raises(VideoError, match=f"it has 10 steps, the sequence is from step {start} to"):
            file.between(start, stop)


# ---- a set of them


def test_parts_of_a_file_are_clips_of_a_set(tmp_path):
    saved(tmp_path / "a.npy", VECTORS)
    (tmp_path / "list.csv").write_text("path,start,stop,label\na.npy,0,3,x\na.npy,3,,y\n")
    found = read_dataset("features", tmp_path / "list.csv")
    good, bad = index_features(found.records)
    assert not bad and [record.path for record, _ in good] == ["a.npy#0-3", "a.npy#3-"]
    for (_, file), part in zip(good, (VECTORS[:3], VECTORS[3:]), strict=True):
        np.testing.assert_array_equal(file.read(range(file.frames)), part)


def test_all_files_of_a_set_have_steps_of_one_shape(tmp_path):
    found = records(tmp_path, VECTORS, VECTORS[:2], np.zeros((4, 5)))
    good, bad = index_features(found[:2])
    assert not bad and [record for record, _ in good] == found[:2]
    assert [file.shape for _, file in good] == [(4, 3), (2, 3)]
    both = r"2.npy: its steps have the shape \(5,\), and .*0.npy has \(3,\); compute it as the others"
    with pytest.raises(VideoError, match=both):
        index_features(found)
    good, bad = index_features(found, on_error="skip", max_skipped=0.4)
    assert len(good) == 2 and [error.path.name for error in bad] == ["2.npy"]


@pytest.mark.parametrize(
    "other, shapes",
    [
        (np.zeros((2, 3, 3, 4)), r"\(3, 3, 4\), and .*0.npy has \(2, 3, 4\)"),  # another K
        (np.zeros((2, 2, 3, 5)), r"\(2, 3, 5\), and .*0.npy has \(2, 3, 4\)"),  # another D
        (VECTORS, r"\(3,\), and .*0.npy has \(2, 3, 4\)"),
    ],
)
def test_maps_of_another_size_are_named_with_both_shapes(other, shapes, tmp_path):
    with pytest.raises(VideoError, match=f"1.npy: its steps have the shape {shapes}"):
        index_features(records(tmp_path, MAPS, other))


def test_a_model_knows_the_shape_of_a_step(tmp_path):
    with pytest.raises(
        VideoError, match=r"0.npy: its steps have the shape \(3,\), and the model takes \(9,\)"
    ):
        index_features(records(tmp_path, VECTORS), step=(9,))


def test_bad_files_are_skipped_up_to_a_share(tmp_path):
    found = records(tmp_path, np.zeros((0, 3)), VECTORS, VECTORS)
    with pytest.raises(VideoError, match="0.npy: there are no steps in it.*, or pass `--on-error skip`"):
        index_features(found)
    good, bad = index_features(found, on_error="skip", max_skipped=0.5)
    assert [len(good), len(bad)] == [2, 1]
    with pytest.raises(UserError, match="1 of 3 videos cannot be used"):
        index_features(found, on_error="skip")


def test_an_audit_says_what_is_in_files_of_features(tmp_path):
    saved(tmp_path / "a/1.npy", VECTORS)
    saved(tmp_path / "a/2.npy", np.full((2, 3), np.nan))
    saved(tmp_path / "b/1.npz", MAPS, compressed=True)
    saved(tmp_path / "b/2.npy", np.zeros((0, 3)))
    cut = saved(tmp_path / "b/3.npy", VECTORS)
    cut.write_bytes(cut.read_bytes()[:-1])
    audit_videos(read_whole(tmp_path, dataset="features"), out=tmp_path / "audit.json")
    found = read_audit(tmp_path / "audit.json")
    rows = {
        path: (entry["status"], entry["frames"], entry["claimed_frames"])
        for path, entry in found.files.items()
    }
    assert rows == {
        "a/1.npy": ("ok", 4, 4),
        "a/2.npy": ("unreadable", 0, 0),
        "b/1.npz": ("ok", 2, 2),
        "b/2.npy": ("empty", 0, 0),
        "b/3.npy": ("truncated", 3, 4),
    }
    assert all(len(entry["sha256"]) == 64 for entry in found.files.values())


def test_files_that_an_audit_knows_are_not_read_through_again(tmp_path, monkeypatch):
    saved(tmp_path / "a/1.npy", VECTORS)
    saved(tmp_path / "b/1.npy", VECTORS)
    saved(tmp_path / "b/2.npy", np.full((2, 3), np.nan))
    found = read_dataset("features", tmp_path)
    audit = audit_videos(found)
    checked = []
    monkeypatch.setattr(FeatureFile, "check", lambda file: checked.append(file.file.name))
    options = {"audit": audit, "on_error": "skip", "max_skipped": 0.5}
    good, bad = index_features(found.records, **options)
    assert [file.shape for _, file in good] == [(4, 3)] * 2 and "not a finite number" in str(bad[0])
    assert checked == []
    saved(tmp_path / "b/1.npy", VECTORS[:3])
    index_features(found.records, **options)
    assert checked == ["1.npy"]


def test_features_are_read_from_class_folders_and_parts(tmp_path):
    for part in ("train", "val", "test"):
        for label in ("run", "walk"):
            saved(tmp_path / part / label / "1.npy", VECTORS)
    saved(tmp_path / "test/walk/2.NPZ.npz", VECTORS)
    (tmp_path / "train/run/notes.txt").write_text("passed over")
    found = read_dataset("features", tmp_path)
    assert found.dataset == "features" and found.class_names == ("run", "walk")
    assert found.found == {"test": 3, "train": 2, "validation": 2}


def test_features_are_read_from_a_table(tmp_path):
    for name in ("1", "2"):
        saved(tmp_path / f"f/{name}.npy", VECTORS)
    table = "path,label,split,group,fold\nf/1.npy,b,train,g1,0\nf/2.npy,a,test,g2,1\n"
    (tmp_path / "list.csv").write_text(table)
    by_name = read_set(tmp_path, dataset="features", manifest="list.csv")
    by_path = read_set(tmp_path / "list.csv", dataset="features", manifest="list.csv")
    whole = read_whole(tmp_path, dataset="features", manifest="list.csv")
    assert by_name == by_path == whole == read_dataset("features", tmp_path, manifest="list.csv")
    rows = [(r.path, r.label, r.split, r.group, r.fold) for r in by_name.records]
    assert rows == [("f/1.npy", 1, "train", "g1", "0"), ("f/2.npy", 0, "test", "g2", "1")]


def test_a_table_that_is_named_twice_is_refused(tmp_path):
    options = {"dataset": "features", "options": {"manifest": "list.csv"}}
    with pytest.raises(UserError, match="`options` must not repeat `manifest`"):
        read_set(tmp_path, manifest="list.csv", **options)


def test_a_set_of_an_official_layout_has_no_table(tmp_path):
    with pytest.raises(UserError, match="ucf101 has no option `manifest`; its options are split"):
        read_set(tmp_path, dataset="ucf101", manifest="list.csv")


def test_a_table_that_lists_another_file_is_refused(tmp_path):
    saved(tmp_path / "1.npy", VECTORS)
    (tmp_path / "2.mp4").write_bytes(b"x")
    (tmp_path / "list.csv").write_text("path,label\n1.npy,a\n2.mp4,b\n")
    with pytest.raises(UserError, match="2.mp4: features are read from .npy and .npz files"):
        read_dataset("features", tmp_path / "list.csv")


def test_a_folder_without_features_says_what_was_looked_for(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"x")
    with pytest.raises(UserError, match=r"no files found \(looked for .npy .npz in its folders\)"):
        read_dataset("features", tmp_path)
