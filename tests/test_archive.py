"""Archives from outside: what they claim is checked, and a lie or a bomb takes no memory."""

import io
import struct
import zipfile

import numpy as np
import pytest

import hostile
from keras_actrec import _archive
from keras_actrec._archive import parts_of, read_arrays, read_part
from keras_actrec.data import VideoError, features, open_features
from keras_actrec.data.poses import read_pose
from keras_actrec.errors import UserError
from keras_actrec.evaluation import read_scores
from keras_actrec.training.resume import Checkpoint

pytestmark = pytest.mark.no_backend

JOINTS = np.zeros((4, 1, 17, 3), "float32")


def npz(path, compress=True, **arrays):
    (np.savez_compressed if compress else np.savez)(path, **arrays)
    return path


def claiming(header, content=b""):
    """A member of an archive whose header is made up."""
    held = io.BytesIO()
    np.lib.format.write_array_header_1_0(held, header)
    return held.getvalue() + content


def repacked(path, name, content, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(f"{name}.npy", content)


def patch(path, size):
    """Let the central directory and the parts claim another size unpacked."""
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = data.find(mark)
        while place >= 0:
            struct.pack_into("<I", data, place + offset, size)
            place = data.find(mark, place + 4)
    path.write_bytes(data)


def bomb(path, name):
    npz(path, **{name: np.zeros((400, 1, 17, 3000), "float32")})  # 82 MB, of which zip makes 80 kB


def header(path, name):
    repacked(path, name, claiming({"descr": "<f4", "fortran_order": False, "shape": (2**20, 1, 2**12, 3)}))


def wide_type(path, name):
    repacked(path, name, claiming({"descr": "<U400000000", "fortran_order": False, "shape": (3, 1, 2, 3)}))


def overflow(path, name):
    repacked(path, name, claiming({"descr": "<f4", "fortran_order": False, "shape": (2**32, 2**32, 0, 3)}))


def negative(path, name):
    shape = {"descr": "<f4", "fortran_order": False, "shape": (-1, 1, 17, 3)}
    repacked(path, name, claiming(shape, bytes(17 * 3 * 4)))


def deep(path, name):
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': " + b"(" * 5000
    repacked(path, name, b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text)


def lie(path, name):
    """A part that has 82 MB claims to have 4 kB."""
    bomb(path, name)
    patch(path, 4096)


def claim(path, name):
    """A part that has some bytes claims to have 4 GB."""
    npz(path, **{name: JOINTS})
    patch(path, 2**32 - 2)


def twice(path, name):
    with zipfile.ZipFile(path, "w") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        for _ in range(2):
            with archive.open(f"{name}.npy", "w") as file:
                np.save(file, JOINTS)


def shared(path, name):
    """A thousand parts in the same bytes."""
    npz(path, compress=False, **{name: np.zeros((1, 1, 2**16, 3), "float32")})
    data = path.read_bytes()
    start = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    entry = data[start:end]
    length = struct.unpack_from("<H", entry, 28)[0]
    entries = b"".join(
        entry[:46] + f"{number:0{length}}".encode() + entry[46 + length :] for number in range(1000)
    )
    tail = bytearray(data[end:])
    struct.pack_into("<HHI", tail, 8, 1001, 1001, len(entries) + len(entry))
    path.write_bytes(data[:start] + entry + entries + tail)


def many(path, name):
    """A hundred thousand parts, none of which has a byte."""
    npz(path, compress=False, **{name: JOINTS})
    data = path.read_bytes()
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entry = data[start : start + 46] + b"%05d.npy"
    entry = entry[:20] + bytes(8) + struct.pack("<HHH", 9, 0, 0) + entry[34:]
    entries = b"".join(entry[:46] + b"%05d.npy" % number for number in range(100_000))
    tail = bytearray(data[end:])
    struct.pack_into("<HHI", tail, 8, 2**16 - 1, 2**16 - 1, end - start + len(entries))
    path.write_bytes(data[:end] + entries + tail)


def objects(path, name):
    np.savez(path, **{name: np.array([{"a": 1}, None], object)})


def no_letters(path, name):
    npz(path, **{name: np.full(3, 2**31, "u4").view("<U1")})


def fields(path, name):
    npz(path, **{name: np.zeros(3, [("a", "f4"), ("b", "<U3")])})


def unusual(path, name):
    repacked(path, name, claiming({"descr": "<f4", "fortran_order": False, "shape": (0,)}), zipfile.ZIP_LZMA)


ATTACKS = (
    *(bomb, header, wide_type, overflow, negative, deep),
    *(lie, claim, twice, shared, many, objects, unusual, no_letters, fields),
)
READERS = {
    "joints": read_pose,
    "features": lambda path: open_features(path).check(),
    "about": read_scores,
    "state": lambda path: Checkpoint(path.parent, 0)._read(),
}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
@pytest.mark.parametrize("name", READERS)
def test_an_attack_on_an_archive_is_one_line_and_takes_nothing(name, attack, tmp_path, monkeypatch):
    monkeypatch.setattr(_archive, "_FREE_ARRAYS", 2**26)  # so that a bomb is a small one
    monkeypatch.setattr(features, "_MOST_UNPACKED", 2**26)
    path = tmp_path / "checkpoint.npz"
    attack(path, name)
    with hostile.limits(2**26), pytest.raises(UserError) as caught:
        READERS[name](path)
    assert str(path) in str(caught.value) and str(caught.value).isprintable()
    assert len(str(caught.value)) < len(str(path)) + 400


def test_what_is_written_is_read(tmp_path):
    arrays = {
        "joints": JOINTS + 1,
        "turned": np.arange(6).reshape(2, 3).T,
        "number": np.array(3.5),
        "none": np.zeros((0, 4)),
        "texts": np.array(["a", "Füße"]),
    }
    for compress in (True, False):
        read = read_arrays(npz(tmp_path / "a.npz", compress, **arrays))
        assert list(read) == list(arrays)
        for name, value in arrays.items():
            np.testing.assert_array_equal(read[name], value)
            assert read[name].dtype == value.dtype and read[name].flags.writeable
    assert list(read_arrays(tmp_path / "a.npz", ("number", "absent"))) == ["number"]
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "b.npz")


def test_a_large_archive_may_hold_what_it_has_bytes_for(tmp_path):
    values = np.random.default_rng(0).random(2**24, "float32")  # 64 MiB, and a header
    assert read_arrays(npz(tmp_path / "a.npz", False, x=values))["x"].nbytes == values.nbytes


def test_zeros_of_an_honest_file_are_read_though_they_take_next_to_nothing(tmp_path):
    """Joints and features of clips that are padded: 80 MB, of which zip makes a thousandth."""
    joints, steps = np.zeros((390_000, 1, 17, 3), "float32"), np.zeros((2000, 10_000), "float32")
    steps[-1] = 1
    path = npz(tmp_path / "a.npz", joints=joints)
    assert path.stat().st_size < joints.nbytes / 900
    with hostile.limits(2 * joints.nbytes):  # it is in memory once
        read = read_arrays(path)["joints"]
    assert read.shape == joints.shape and not read.any() and read.flags.writeable
    opened = open_features(npz(tmp_path / "b.npz", features=steps))
    with hostile.limits(2**26):  # and these in pieces
        opened.check()
        assert opened.read([1999]).min() == 1


def test_an_archive_that_has_next_to_nothing_for_more_than_a_gigabyte_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("x.npy", "w", force_zip64=True) as file:
            shape = (2**14, 2**14 + 1)
            file.write(claiming({"descr": "<f4", "fortran_order": False, "shape": shape}))
            for _ in range(shape[0]):
                file.write(bytes(4 * shape[1]))
    for read in (read_arrays, open_features):
        with (
            hostile.limits(2**26),
            pytest.raises(ValueError, match="claims 1073807[0-9]+ bytes, the file has"),
        ):
            read(path)


def test_a_part_that_claims_more_than_deflate_could_hold_is_refused(tmp_path):
    path = npz(tmp_path / "a.npz", x=np.zeros(2**20, "float32"))
    patch(path, 2**22 + 128 + 1)  # a byte more, which could be
    with pytest.raises(ValueError, match="another size"):
        read_arrays(path)
    patch(path, 1033 * path.stat().st_size)
    with pytest.raises(ValueError, match="claims .* bytes, the file has"):
        read_arrays(path)
    stored = npz(tmp_path / "b.npz", compress=False, x=np.zeros(9))
    patch(stored, 201)
    with pytest.raises(ValueError, match="x.npy claims 201 bytes"):
        read_arrays(stored)


def test_a_part_that_is_longer_than_it_claims_is_not_cut_off(tmp_path):
    path = tmp_path / "a.zip"
    repacked(path, "x", b"whole")
    data = path.read_bytes()
    patch(path, 4)
    with zipfile.ZipFile(path) as archive, pytest.raises((ValueError, zipfile.BadZipFile)):
        read_part(archive, parts_of(archive, len(data))["x.npy"])


def test_features_that_are_no_archive_are_held_to_their_size(tmp_path):
    path = tmp_path / "clip.npy"
    path.write_bytes(claiming({"descr": "<f4", "fortran_order": False, "shape": (3, 2**33)}))
    with hostile.limits(2**27), pytest.raises(VideoError, match="only 0 of 3 claimed steps"):
        open_features(path)
