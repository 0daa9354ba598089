import builtins
import collections
import functools
import io
import os
import pickle
import re
import zipfile

import keras
import numpy as np
import pytest
import torch

import hostile
from keras_actrec.checkpoints import read_torch
from keras_actrec.errors import UserError

FORMS = {"zip": True, "legacy": False}


@pytest.fixture(params=FORMS)
def form(request):
    return request.param


def save(value, path, form):
    torch.save(value, path, _use_new_zipfile_serialization=FORMS[form])
    return path


def wrap(content, path, form, little_endian=True):
    """A torch file whose root pickle is `content` and which has one storage "0" of four floats 0, 1, 2, 3."""
    values = np.arange(4, dtype="<f4").tobytes()
    if form == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", content)
            archive.writestr("archive/data/0", values)
    else:
        parts = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": little_endian}]
        head = b"".join(pickle.dumps(part, protocol=2) for part in parts)
        keys = pickle.dumps(["0"] if b"storage" in content else [], protocol=2)
        path.write_bytes(head + content + keys + (4).to_bytes(8, "little") + values)
    return path


class Storage:
    def __init__(self, *described):
        self.described = described


class Call:
    """Pickled as a call of `function`."""

    def __init__(self, function, *args):
        self.reduced = function, args

    def __reduce__(self):
        return self.reduced


class Pickler(pickle.Pickler):
    def persistent_id(self, obj):
        return obj.described if isinstance(obj, Storage) else None


def dumps(value):
    stream = io.BytesIO()
    Pickler(stream, protocol=2).dump(value)
    return stream.getvalue()


FLOATS = ("storage", torch.FloatStorage, "0", "cpu", 4)


def tensor(offset, shape, strides, described=FLOATS):
    hooks = collections.OrderedDict()
    return Call(torch._utils._rebuild_tensor_v2, Storage(*described), offset, shape, strides, False, hooks)


def refusal(path):
    with pytest.raises(UserError) as caught:
        read_torch(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


def assert_same(read, expected):
    assert list(read) == list(expected)
    for name, value in expected.items():
        value = value.detach().numpy()
        assert read[name].dtype == value.dtype and read[name].shape == value.shape, name
        np.testing.assert_array_equal(read[name], value)


@pytest.mark.parametrize("name", "float16 float32 float64 int8 int16 int32 int64 uint8 bool".split())
def test_every_dtype_comes_back_exactly(name, form, tmp_path):
    values = torch.tensor([0, 1, 3, 100]).to(getattr(torch, name))
    read = read_torch(save({"x": values}, tmp_path / "a.pth", form))
    assert read["x"].dtype == np.dtype(name)
    np.testing.assert_array_equal(read["x"], values.numpy())


def test_bfloat16_becomes_float32(form, tmp_path):
    values = [1.5, -2.0, 3.140625, float("inf"), 2.0**-130]
    read = read_torch(save({"x": torch.tensor(values, dtype=torch.bfloat16)}, tmp_path / "a.pth", form))
    assert read["x"].dtype == np.float32
    np.testing.assert_array_equal(read["x"], np.array(values, np.float32))


def test_views_of_one_storage_come_back_as_they_look(form, tmp_path):
    base = torch.arange(24.0).reshape(4, 6)
    expected = {
        "base": base,
        "transposed": base.T,
        "strided": base[1:, ::2],
        "expanded": base[:, :1].expand(4, 5),
        "scalar": base[2, 3],
        "none": base[:0],
        "permuted": torch.arange(24).reshape(2, 3, 4).permute(2, 0, 1),
    }
    read = read_torch(save(expected, tmp_path / "a.pth", form))
    assert_same(read, expected)
    assert read["transposed"].flags.c_contiguous and not np.shares_memory(read["base"], read["transposed"])


def test_an_empty_storage_is_an_empty_array(form, tmp_path):
    expected = {"x": torch.zeros(0, 3), "y": torch.ones(2)}
    assert_same(read_torch(save(expected, tmp_path / "a.pth", form)), expected)


def test_a_module_s_state_dict_and_its_parameters_are_read(form, tmp_path):
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2))
    assert_same(read_torch(save(module.state_dict(), tmp_path / "a.pth", form)), module.state_dict())
    parameters = dict(module.named_parameters())
    assert_same(read_torch(save(parameters, tmp_path / "b.pth", form)), parameters)


def test_the_state_dict_of_a_checkpoint_is_taken_and_its_names_kept(form, tmp_path):
    state = {"module.fc.weight": torch.ones(2, 3)}
    checkpoint = {
        "epoch": 7,
        "arch": "tsn",
        "best": 0.5,
        "done": True,
        "args": {"lr": [0.1, 0.01], "shape": torch.Size([2, 3]), "nothing": None, "dtype": torch.float32},
        "state_dict": state,
        "optimizer": {"state": {0: {"momentum": torch.zeros(2)}}},
    }
    assert_same(read_torch(save(checkpoint, tmp_path / "a.pth", form)), state)


def test_a_big_endian_zip_is_read(tmp_path):
    source = save({"x": torch.arange(5.0)}, tmp_path / "a.pth", "zip")
    swapped = tmp_path / "b.pth"
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(swapped, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith("/byteorder"):
                content = b"big"
            if "/data/" in name:
                content = np.frombuffer(content, "<f4").astype(">f4").tobytes()
            new.writestr(name, content)
    np.testing.assert_array_equal(read_torch(swapped)["x"], np.arange(5, dtype="f4"))


WITHOUT_TORCH = """
import sys

class Block:
    def find_spec(self, name, *args):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Block())
import numpy
from keras_actrec.checkpoints import read_torch

numpy.savez("out.npz", **read_torch(sys.argv[1]))
assert "torch" not in sys.modules
"""


@pytest.mark.once
def test_torch_is_not_needed(form, tmp_path, run_python):
    expected = {"x": torch.arange(6.0).reshape(2, 3).T, "n": torch.tensor(3)}
    path = save(expected, tmp_path / "a.pth", form)
    backend = keras.backend.backend()
    done = run_python("-c", WITHOUT_TORCH, path, KERAS_BACKEND="jax" if backend == "torch" else backend)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "out.npz") as read:
        assert_same(dict(read), expected)


EVIL = {
    "posix.system": lambda marker: Call(os.system, f"touch {marker}"),
    "builtins.eval": lambda marker: Call(builtins.eval, f"open({str(marker)!r}, 'w').close()"),
    "builtins.exec": lambda marker: Call(builtins.exec, f"open({str(marker)!r}, 'w').close()"),
    "builtins.getattr": lambda marker: Call(getattr, "", "join"),
    "functools.partial": lambda marker: functools.partial(os.system, f"touch {marker}"),
    "numpy": lambda marker: np.ones(3),
    "torch.storage._load_from_bytes": lambda marker: Call(torch.storage._load_from_bytes, b""),
    "torch.nn.modules.linear.Linear": lambda marker: torch.nn.Linear(2, 2),
}


@pytest.mark.parametrize("where", ["root", "entry", "beside"])
@pytest.mark.parametrize("name", EVIL)
def test_a_pickle_that_names_anything_else_is_refused_and_not_run(name, where, form, tmp_path):
    marker = tmp_path / "marker"
    evil = EVIL[name](marker)
    value = {"root": evil, "entry": {"weight": evil}, "beside": {"state_dict": {}, "x": evil}}[where]
    content = pickle.dumps(value, protocol=2).replace(b"__builtin__\n", b"builtins\n")
    assert name in refusal(wrap(content, tmp_path / "a.pth", form))
    assert not marker.exists()


def test_a_plain_pickle_is_refused_too(tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(pickle.dumps(Call(os.system, f"touch {tmp_path / 'marker'}")))
    assert "system" in refusal(path)
    assert not (tmp_path / "marker").exists()


REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
TRICKS = {  # opcodes that make one value, and what the refusal says
    "a code object": (b"ctypes\nCodeType\n)R", "types.CodeType"),
    "a dotted name": (b"\x8c\x0ctorch._utils\x8c\x1e_rebuild_tensor_v2.__globals__\x93", "__globals__"),
    "an old-style instance": (b"(iposix\nsystem\n", "posix.system"),
    "BUILD on a permitted function": (
        REBUILD + b"}X\x04\x00\x00\x00makeNsb",
        "changes torch._utils._rebuild",
    ),
    "BUILD with slots": (REBUILD + b"N}X\x04\x00\x00\x00makeNs\x86b", "changes torch._utils._rebuild"),
    "BUILD on a dtype": (b"ctorch\nfloat32\n}b", "changes torch.float32"),
    "BUILD on a tensor": (dumps(tensor(0, (2,), (1,)))[2:-1] + b"}b", "changes a tensor"),
    "BUILD on a dict": (b"}}X\x01\x00\x00\x00aNsb", "changes a dict"),
    "a call of a dtype": (b"ctorch\nfloat32\n)R", "calls torch.float32"),
    "a call of a string": (b"X\x01\x00\x00\x00a)R", "calls a str"),
    "NEWOBJ of a permitted name": (REBUILD + b")\x81", "the step NEWOBJ"),
    "an extension": (b"\x82\x01", "the step EXT1"),
    "text as a storage": (b"P0\n", "a storage is described wrongly"),
    "a name that is no string": (b"K\x01K\x02\x93", "takes a int for a str"),
}


@pytest.mark.parametrize("trick", TRICKS)
def test_tricks_of_the_pickle_protocol_are_refused(trick, form, tmp_path):
    opcodes, reason = TRICKS[trick]
    # {"x": the trick, "state_dict": {}}: were the trick let through, the file would be read.
    content = b"\x80\x04}(X\x01\x00\x00\x00x" + opcodes + b"X\x0a\x00\x00\x00state_dict}u."
    assert reason in refusal(wrap(content, tmp_path / "a.pth", form))


def test_a_tensor_inside_its_storage_is_read(form, tmp_path):
    path = wrap(dumps({"x": tensor(0, (2, 2), (1, 2))}), tmp_path / "a.pth", form)
    np.testing.assert_array_equal(read_torch(path)["x"], [[0, 2], [1, 3]])


BAD = {
    "beyond": (tensor(1, (2, 2), (2, 1)), "ends beyond storage"),
    "a far offset": (tensor(2**62, (1,), (1,)), "ends beyond storage"),
    "a negative offset": (tensor(-1, (2,), (1,)), "a tensor is described wrongly"),
    "a negative stride": (tensor(3, (2,), (-1,)), "a tensor is described wrongly"),
    "a negative size": (tensor(0, (-2,), (1,)), "a tensor is described wrongly"),
    "too few strides": (tensor(0, (2, 2), (1,)), "a tensor is described wrongly"),
    "an offset that is no number": (tensor("0", (2,), (1,)), "a tensor is described wrongly"),
    "no storage": (Call(torch._utils._rebuild_tensor_v2, 0, 0, (2,), (1,)), "a tensor is described wrongly"),
    "a bomb": (tensor(0, (2**20, 2**20), (0, 0)), "repeat their storages to more than"),
    "a large storage": (tensor(0, (5,), (1,), (*FLOATS[:4], 5)), "16 of 20 bytes|has 4 elements"),
    "a wider dtype": (tensor(0, (4,), (1,), ("storage", torch.DoubleStorage, *FLOATS[2:])), "16 of 32 bytes"),
    "no storage class": (
        tensor(0, (4,), (1,), ("storage", torch.float32, *FLOATS[2:])),
        "a storage is described wrongly",
    ),
    "no storage key": (tensor(0, (4,), (1,), (*FLOATS[:2], "1", "cpu", 4)), "'data/1' is missing|not those"),
    "no storage tag": (tensor(0, (4,), (1,), ("module", *FLOATS[1:])), "a storage is described wrongly"),
    "a view of a storage": (tensor(0, (4,), (1,), (*FLOATS, ("1", 0, 4))), "a storage is described wrongly"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_tensor_that_does_not_fit_its_storage_is_refused(name, form, tmp_path):
    value, reason = BAD[name]
    assert re.search(reason, refusal(wrap(dumps({"x": value}), tmp_path / "a.pth", form)))


def test_a_storage_described_in_two_ways_is_refused(form, tmp_path):
    again = tensor(0, (2,), (1,), (*FLOATS[:4], 2))
    path = wrap(dumps({"x": tensor(0, (2,), (1,)), "y": again}), tmp_path / "a.pth", form)
    assert "described twice" in refusal(path)


def test_a_legacy_storage_of_another_size_is_refused(tmp_path):
    path = wrap(dumps({"x": tensor(0, (2,), (1,), (*FLOATS[:4], 3))}), tmp_path / "a.pth", "legacy")
    assert "has 4 elements, its tensors expect 3" in refusal(path)


def test_a_legacy_file_of_a_big_endian_machine_is_refused(tmp_path):
    content = dumps({"x": tensor(0, (2,), (1,))})
    assert "big-endian" in refusal(wrap(content, tmp_path / "a.pth", "legacy", little_endian=False))


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.9, 0.99, 1.0])
def test_a_truncated_file_is_refused(share, form, tmp_path):
    path = save({"x": torch.ones(64, 64), "y": torch.ones(3)}, tmp_path / "a.pth", form)
    content = path.read_bytes()
    path.write_bytes(content[: min(int(share * len(content)), len(content) - 1)])
    assert "truncated" in refusal(path)


def test_damage_anywhere_never_raises_another_error(form, tmp_path):
    path = save({"x": torch.ones(4, 4), "y": torch.ones(3)}, tmp_path / "a.pth", form)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.integers(len(content), size=300):
        damaged = bytearray(content)
        damaged[position] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            read_torch(path)
        except UserError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"PK\x03\x04", b"<html>\n</html>", b"\x80\x02N.", bytes(99)]
)
def test_what_is_no_torch_file_is_refused(content, tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(content)
    refusal(path)


def test_a_zip_of_something_else_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("folder/readme.txt", "hello")
    assert "data.pkl" in refusal(tmp_path / "a.zip")


def test_a_compressed_zip_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, protocol=2))
    assert "compressed" in refusal(tmp_path / "a.pth")


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert "no such" in refusal(tmp_path / "absent.pth")
    assert "no such" in refusal(tmp_path)


@pytest.mark.parametrize("value", [torch.ones(2), [1], {"n": 1}, {"state_dict": 1}, {1: torch.ones(2)}])
def test_a_file_without_a_state_dict_is_refused(value, form, tmp_path):
    assert "state_dict" in refusal(save(value, tmp_path / "a.pth", form))


def test_the_state_dict_is_found_under_any_usual_key_or_any_one(form, tmp_path):
    state, other = {"fc.weight": torch.ones(2, 3)}, {"fc.weight": torch.zeros(2, 3)}
    for key in "state_dict model_state_dict model_state model net network module ema weights".split():
        checkpoint = {"epoch": 7, key: state, "optimizer": {"state": {0: {"momentum": torch.zeros(2)}}}}
        assert_same(read_torch(save(checkpoint, tmp_path / "a.pth", form)), state)
    for nested in ({"model": {"state_dict": state}}, {"model": state, "ema": other}, {"a": {"b": state}}):
        assert_same(read_torch(save(nested, tmp_path / "a.pth", form)), state)
    named = {"model": {"name": "tsn", "depth": 50}, "weights": state}  # what `model` has is no state dict
    assert_same(read_torch(save(named, tmp_path / "a.pth", form)), state)
    with_numbers = {"model": {"fc.weight": torch.ones(2), "epoch": 3}}
    assert "no tensor" in refusal(save(with_numbers, tmp_path / "a.pth", form))
    several = {"generator": state, "critic": other}
    assert "several state dicts, 'generator', 'critic'" in refusal(save(several, tmp_path / "a.pth", form))


def opcodes(*steps):
    """A pickle of these steps that ends in an empty state dict."""
    return b"\x80\x02" + b"".join(steps) + b"0}."


TEXT = b"X\x01\x00\x00\x00a"
SIZE_OF_LIST = b"h\x01h\x00\x85R0"  # of torch.Size in memo 1 and a list in memo 0
BOMBS = {  # what a small pickle could ask for, and what the refusal says, or nothing for what takes none
    "a memo index": (opcodes(b"Nr\xff\xff\xff\x7f"), ""),
    "bytes that are not there": (opcodes(b"\x8e" + (2**40).to_bytes(8, "little")), "expected"),
    "a bytearray": (opcodes(b"\x96" + (2**40).to_bytes(8, "little")), "expected"),
    "a text that is not there": (opcodes(b"X\xff\xff\xff\x7f"), "expected"),
    "nested lists": (opcodes(b"]" * 100_000, b"a" * 99_999), ""),
    "nested tuples": (opcodes(b")", b"\x85" * 100_000), ""),
    "a tuple doubled as a key": (
        opcodes(b"})q\x000", b"h\x00h\x00\x86q\x000" * 100, b"h\x00Ns"),
        "a tuple is the key of a dict",
    ),
    "one that holds itself": (b"\x80\x02}q\x00X\x05\x00\x00\x00modelh\x00s.", "'model' is no tensor"),
    "copies of a list": (
        opcodes(b"](", b"N" * 99_999, b"eq\x00ctorch\nSize\nq\x01", SIZE_OF_LIST * 9),
        "a size is described wrongly",
    ),
    "a dict made again": (
        opcodes(
            b"](" + b"".join(b"M%bN\x86" % n.to_bytes(2, "little") for n in range(50_000)),
            b"eq\x00ccollections\nOrderedDict\nq\x01",
            SIZE_OF_LIST * 30,
        ),
        "more than 1000000 steps",
    ),
    "many steps": (opcodes(b"N0" * 500_001), "more than 1000000 steps"),
    "a long name": (opcodes(b"cos\n" + b"x" * 10_000 + b"\n"), "xxx..."),
    "a long key": (b"\x80\x02}X\x10\x27\x00\x00" + b"x" * 10_000 + b"Ns.", "xxx..."),
    "a long number": (opcodes(b"L" + b"9" * 100_000 + b"L\n"), "digits"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_pickle_takes_neither_memory_nor_time_and_its_line_is_short(name, form, tmp_path):
    content, reason = BOMBS[name]
    path = wrap(content, tmp_path / "a.pth", form)
    with hostile.limits():
        if not reason:
            assert read_torch(path) == {}
            return
        message = refusal(path)
    assert reason in message and len(message) < len(str(path)) + 300


def test_many_tensors_of_one_storage_are_refused_together(form, tmp_path):
    """Each is small enough."""
    many = {f"x{number}": tensor(0, (2**22,), (0,)) for number in range(9)}
    assert "repeat their storages" in refusal(wrap(dumps(many), tmp_path / "a.pth", form))
    several = {f"x{number}": tensor(0, (2**20,), (0,)) for number in range(9)}
    assert len(read_torch(wrap(dumps(several), tmp_path / "a.pth", form))) == 9


def test_a_zip_whose_records_share_bytes_or_lie_is_refused(tmp_path):
    source = save({"x": torch.ones(64, 64), "y": torch.ones(64, 64)}, tmp_path / "a.pth", "zip")
    content, size = source.read_bytes(), (64 * 64 * 4).to_bytes(4, "little")
    longer = content.replace(size * 2, (len(content)).to_bytes(4, "little") * 2)
    assert longer != content
    source.write_bytes(longer)
    assert "claim the same bytes" in refusal(source) or "claims" in refusal(source)
    with zipfile.ZipFile(source, "w") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("archive/data.pkl", dumps({}))
        archive.writestr("archive/data.pkl", dumps({"x": tensor(0, (4,), (1,))}))
    assert "'archive/data.pkl' twice" in refusal(source)


def test_what_else_a_checkpoint_holds_is_not_read(tmp_path):
    """Storages of its optimizer, such as one that is missing."""
    path = save({"model": {"x": torch.ones(3)}, "best": torch.zeros(5)}, tmp_path / "a.pth", "zip")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "b.pth", "w") as new:
        for name in old.namelist():
            if not name.endswith("data/1"):
                new.writestr(name, old.read(name))
    np.testing.assert_array_equal(read_torch(tmp_path / "b.pth")["x"], np.ones(3))
