"""Official torch checkpoints: their networks written again in torch, and their numbers in Keras."""

import functools
import itertools

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

import keras_actrec
from keras_actrec import from_torch, zoo
from keras_actrec.checkpoints import identify_checkpoint, load_torch
from keras_actrec.cli.main import app
from keras_actrec.errors import UserError

torch = pytest.importorskip("torch", reason="torch is not installed: it writes the checkpoints")
functional = torch.nn.functional

# NumPy 2 says so of Keras's variables when a model is saved on JAX.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

CLASSES, FRAMES = 7, 3
SIDES = {"bn_inception": 224, "inception_v3": 229}
MISTAKES = ("epsilon", "average", "same", "floor", "no shuffle", "swapped")


class Network:
    """A network in torch that draws each weight when it first needs it, and keeps it in `state`.

    `mistakes` are those that a port can make. Batch statistics are near those of the first input, so that
    the features stay in scale; variances are small, as in trained networks.
    """

    def __init__(self, frames):
        self.state = {}
        self.frames = frames
        self.mistakes = ()
        self.rng = np.random.default_rng(0)

    def draw(self, name, shape, scale, mean=0.0):
        if name not in self.state:
            values = self.rng.standard_normal(shape, dtype="float32") * np.float32(scale)
            self.state[name] = torch.from_numpy(values + np.float32(mean))
        return self.state[name]

    def norm(self, x, name):
        axes = [axis for axis in range(x.ndim) if axis != 1]
        if f"{name}.weight" not in self.state:
            noise = torch.from_numpy(self.rng.uniform(0.8, 1.2, (2, x.shape[1])).astype("float32"))
            self.state[f"{name}.weight"] = noise[0].flip(0)
            self.draw(f"{name}.bias", x.shape[1], 0.3)
            self.state[f"{name}.running_mean"] = x.mean(axes) * noise[0]
            self.state[f"{name}.running_var"] = x.var(axes) * noise[1]
            self.state[f"{name}.num_batches_tracked"] = torch.tensor(3)
        parts = [self.state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return functional.batch_norm(x, *parts, eps=1e-3 if "epsilon" in self.mistakes else 1e-5)

    def conv(self, x, names, filters, kernel=1, stride=1, pad=None, gate=False):
        name, norm = names
        kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
        pad = [size // 2 for size in kernel] if pad is None else [pad, pad]
        fan = x.shape[1] * kernel[0] * kernel[1]
        weight = self.draw(f"{name}.weight", (filters, x.shape[1], *kernel), 0.15 * fan**-0.5)
        bias = self.draw(f"{name}.bias", filters, 0.02)
        if stride == 2 and pad[0] and "same" in self.mistakes:
            totals = [max((-(-side // 2) - 1) * 2 + kernel[0] - side, 0) for side in x.shape[:1:-1]]
            x = functional.pad(x, [part for total in totals for part in (total // 2, total - total // 2)])
            pad = 0
        x = functional.conv2d(x, weight, bias, stride, pad)
        if gate:
            x = self.gate(x, f"gsm_{name}")
        return functional.relu(self.norm(x, norm))

    def gate(self, x, name):
        count, channels, height, width = x.shape
        x = x.reshape(-1, self.frames, channels, height, width).transpose(1, 2)
        scale = (27 * channels / 2) ** -0.5
        kernel = self.draw(f"{name}.conv3D.weight", (2, channels // 2, 3, 3, 3), scale)
        bias = self.draw(f"{name}.conv3D.bias", 2, 0.3)
        active = functional.relu(self.norm(x, f"{name}.bn"))
        gates = torch.tanh(functional.conv3d(active, kernel, bias, padding=1, groups=2))
        halves, moves = [], (1, -1) if "swapped" in self.mistakes else (-1, 1)
        for half in (0, 1):
            old = x[:, half * channels // 2 : (half + 1) * channels // 2]
            new = torch.zeros_like(old)
            moved = gates[:, half : half + 1] * old
            if moves[half] < 0:
                new[:, :, :-1] = moved[:, :, 1:]
            else:
                new[:, :, 1:] = moved[:, :, :-1]
            new = new + old - moved
            if "no shuffle" not in self.mistakes:
                order = [k % 2 * (channels // 4) + k // 2 for k in range(channels // 2)]
                new = new[:, order]
            halves.append(new)
        return torch.cat(halves, 1).transpose(1, 2).reshape(count, channels, height, width)

    def max_pool(self, x):
        if "floor" in self.mistakes:
            return functional.max_pool2d(x, 3, 2, 1)
        return functional.max_pool2d(x, 3, 2, ceil_mode=True)

    def average_pool(self, x):
        return functional.avg_pool2d(x, 3, 1, 1, count_include_pad="average" not in self.mistakes)

    def logits(self, clips, body, mistakes=()):
        """Raw RGB clips `(B, T, H, W, 3)`."""
        self.mistakes = mistakes
        with torch.no_grad():
            x = torch.from_numpy(clips).reshape(-1, *clips.shape[2:]).flip(-1) - torch.tensor(
                [104.0, 117, 128]
            )
            x = body(self, x.permute(0, 3, 1, 2)).mean((2, 3))
            weight = self.draw(
                "new_fc.weight", (CLASSES, x.shape[1]), 0.75 * float((x**2).sum(1).mean()) ** -0.5
            )
            x = functional.linear(x, weight, self.draw("new_fc.bias", CLASSES, 0.1))
            return x.reshape(-1, self.frames, CLASSES).mean(1).numpy()


def bn_inception(net, x):
    def conv(x, name, *args, **kwargs):
        return net.conv(x, (name, f"{name}_bn"), *args, **kwargs)

    x = net.max_pool(conv(x, "conv1_7x7_s2", 64, 7, 2))
    x = net.max_pool(conv(conv(x, "conv2_3x3_reduce", 64), "conv2_3x3", 192, 3))
    table = """
        3a  64  64  64  64  96 avg 32    3b  64  64  96  64  96 avg 64    3c   0 128 160  64  96 max 0
        4a 224  64  96  96 128 avg 128   4b 192  96 128  96 128 avg 128   4c 160 128 160 128 160 avg 128
        4d  96 128 192 160 192 avg 128   4e   0 128 192 192 256 max 0
        5a 352 192 320 160 224 avg 128   5b 352 192 320 192 224 max 128
    """.split()
    for at in range(0, len(table), 8):
        name, pool = f"inception_{table[at]}", table[at + 6]
        one, reduce, three, double_reduce, double, project = (
            int(table[at + place]) for place in (1, 2, 3, 4, 5, 7)
        )
        stride, branches = 1 if one else 2, []
        if one:
            branches.append(conv(x, f"{name}_1x1", one, gate=True))
        y = conv(x, f"{name}_3x3_reduce", reduce, gate=not one)
        branches.append(conv(y, f"{name}_3x3", three, 3, stride))
        y = conv(x, f"{name}_double_3x3_reduce", double_reduce)
        y = conv(y, f"{name}_double_3x3_1", double, 3)
        branches.append(conv(y, f"{name}_double_3x3_2", double, 3, stride))
        if not one:
            branches.append(net.max_pool(x))
        else:
            y = net.average_pool(x) if pool == "avg" else functional.max_pool2d(x, 3, 1, 1)
            branches.append(conv(y, f"{name}_pool_proj", project))
        x = torch.cat(branches, 1)
    return x


def inception_v3(net, x):
    def conv(x, name, *args, **kwargs):
        return net.conv(x, (f"{name}_Conv2D", f"{name}_batchnorm"), *args, **kwargs)

    def tower(x, name, *parts):
        for index, (filters, kernel, *halve) in enumerate(parts):
            options = {"stride": 2, "pad": 0} if halve else {}
            gate = index == 0 and name in gated
            x = conv(x, f"{name}_{index}" if index else name, filters, kernel, gate=gate, **options)
        return x

    gated = {"mixed_3_tower_conv", "mixed_8_tower_conv"}
    gated |= {f"mixed{block}_conv" for block in ("", "_1", "_2", "_4", "_5", "_7", "_9", "_10")}
    tall, wide, halve = (7, 1), (1, 7), True
    x = conv(x, "conv", 32, 3, 2, 0)
    x = conv(x, "conv_1", 32, 3, pad=0)
    x = net.max_pool(conv(x, "conv_2", 64, 3))
    x = net.max_pool(conv(conv(x, "conv_3", 80), "conv_4", 192, 3, pad=0))
    for name, project in (("mixed", 32), ("mixed_1", 64), ("mixed_2", 64)):
        x = torch.cat(
            [
                tower(x, f"{name}_conv", (64, 1)),
                tower(x, f"{name}_tower_conv", (48, 1), (64, 5)),
                tower(x, f"{name}_tower_1_conv", (64, 1), (96, 3), (96, 3)),
                tower(net.average_pool(x), f"{name}_tower_2_conv", (project, 1)),
            ],
            1,
        )
    first = tower(x, "mixed_3_conv", (384, 3, halve))
    second = tower(x, "mixed_3_tower_conv", (64, 1), (96, 3), (96, 3, halve))
    x = torch.cat([first, second, functional.max_pool2d(x, 3, 2)], 1)
    for name, c in (("mixed_4", 128), ("mixed_5", 160), ("mixed_6", 160), ("mixed_7", 192)):
        x = torch.cat(
            [
                tower(x, f"{name}_conv", (192, 1)),
                tower(x, f"{name}_tower_conv", (c, 1), (c, tall), (192, wide)),
                tower(x, f"{name}_tower_1_conv", (c, 1), (c, wide), (c, tall), (c, wide), (192, tall)),
                tower(net.average_pool(x), f"{name}_tower_2_conv", (192, 1)),
            ],
            1,
        )
    first = tower(x, "mixed_8_tower_conv", (192, 1), (320, 3, halve))
    second = tower(x, "mixed_8_tower_1_conv", (192, 1), (192, tall), (192, wide), (192, 3, halve))
    x = torch.cat([first, second, functional.max_pool2d(x, 3, 2)], 1)
    for name in ("mixed_9", "mixed_10"):
        first = tower(x, f"{name}_tower_conv", (384, 1))
        second = tower(x, f"{name}_tower_1_conv", (448, 1), (384, 3))
        pooled = net.average_pool(x) if name == "mixed_9" else functional.max_pool2d(x, 3, 1, 1)
        x = torch.cat(
            [
                tower(x, f"{name}_conv", (320, 1)),
                conv(first, f"{name}_tower_mixed_conv", 384, (3, 1)),
                conv(first, f"{name}_tower_mixed_conv_1", 384, (1, 3)),
                conv(second, f"{name}_tower_1_mixed_conv", 384, (3, 1)),
                conv(second, f"{name}_tower_1_mixed_conv_1", 384, (1, 3)),
                tower(pooled, f"{name}_tower_2_conv", (192, 1)),
            ],
            1,
        )
    return x


def clips_of(side):
    """One clip whose frames are colored squares with some noise, all different."""
    rng = np.random.default_rng(1)
    squares = rng.uniform(0, 256, (1, FRAMES, 9, 9, 3))
    clips = np.kron(squares, np.ones((1, 1, 28, 28, 1)))[:, :, :side, :side]
    return np.clip(clips + rng.normal(0, 20, clips.shape), 0, 255).astype("uint8").astype("float32")


@functools.cache
def reference(name):
    """A network with random weights: its body, itself, a clip and the clip's logits."""
    body, clips = {"bn_inception": bn_inception, "inception_v3": inception_v3}[name], clips_of(SIDES[name])
    network = Network(FRAMES)
    logits = network.logits(clips, body)
    assert 0.3 < logits.std() < 1.5
    return body, network, clips, logits


def official(state):
    """A state dict as the authors' training programs save it."""
    outside = ("new_fc", "consensus.")
    wrapped = {
        ("module." if k.startswith(outside) else "module.base_model.") + k: v for k, v in state.items()
    }
    return {"epoch": 60, "arch": "BNInception", "state_dict": wrapped, "best_prec1": torch.tensor(49.0)}


def save(state, path, legacy=False):
    torch.save(state, path, _use_new_zipfile_serialization=not legacy)
    return path


def tiny():
    """A network of one convolution, and a checkpoint of it."""
    backbone = "bn_inception:conv1_7x7_s2_bn"
    model = zoo.build("tsn", 3, backbone=backbone, width=0.125, input_shape=(2, 32, 32, 3))
    state = {
        "conv1_7x7_s2.weight": torch.full((8, 3, 7, 7), 0.5),
        "conv1_7x7_s2.bias": torch.full((8,), 2.0),
        "new_fc.weight": torch.ones(3, 8),
        "new_fc.bias": torch.ones(3),
    }
    return model, state


WRAPPERS = ["", "module.", "_orig_mod.", "model.", "backbone.", "network.", "encoder.net.", "anything."]


@pytest.mark.once
@pytest.mark.parametrize("prefix", [*WRAPPERS, "module._orig_mod.", "_orig_mod.module.", "model.module.a.b."])
def test_what_programs_put_in_front_of_all_names_is_passed_over(prefix, tmp_path):
    model, state = tiny()
    state = {prefix + name: value for name, value in state.items()}
    report = load_torch(model, save({"epoch": 3, "model_state": state}, tmp_path / "a.pth"))
    assert report.loaded == tuple(state) and report.unused == ()
    np.testing.assert_array_equal(model.get_layer("conv1_7x7_s2").get_weights()[0], 0.5)


def test_what_stands_in_front_of_some_names_counts(tmp_path):
    model, state = tiny()
    mixed = {f"model.{name}" if "conv" in name else f"other.{name}": value for name, value in state.items()}
    assert "no layer of the model takes any" in refusal(load_torch, model, save(mixed, tmp_path / "a.pth"))
    some = {name if "conv" in name else f"model.{name}": value for name, value in state.items()}
    report = load_torch(model, save(some, tmp_path / "a.pth"))
    assert report.unused == ("model.new_fc.weight", "model.new_fc.bias")


def test_a_name_that_fits_is_not_cut(tmp_path):
    """All names begin with that of a layer."""
    model, state = tiny()
    state = {name: value for name, value in state.items() if "conv" in name}
    assert load_torch(model, save(state, tmp_path / "a.pth")).loaded == tuple(state)


@pytest.mark.parametrize("prefix", WRAPPERS)
def test_a_wrapped_checkpoint_is_identified(prefix, tmp_path):
    state = {prefix + name: value for name, value in {**BN_INCEPTION, **HEAD}.items()}
    found = identify_checkpoint(save({"model": state}, tmp_path / "a.pth"))
    assert (found.model, found.backbone) == ("tsn", "bn_inception")


def succeeds(*arguments):
    """What a command writes to stdout."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def refusal(function, *args, **kwargs):
    with pytest.raises(UserError) as caught:
        function(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", SIDES)
def test_a_converted_checkpoint_gives_the_logits_of_torch(name, tmp_path):
    _, network, clips, expected = reference(name)
    side, tensors = SIDES[name], {"bn_inception": 69 * 6 + 62, "inception_v3": 94 * 6 + 62}[name]
    file, words = tmp_path / "file.pth.tar", f"{tensors} tensors loaded; 0 left in the file; 0 weights"
    if name == "bn_inception":  # by the command, which writes a model that gives probabilities
        save(official(network.state), file)
        (tmp_path / "names.txt").write_text("".join(f"Heben {i}\n" for i in range(CLASSES)), encoding="utf-8")
        options = ["--frames", FRAMES, "--classes", tmp_path / "names.txt"]
        stdout = succeeds("convert", file, "--to", tmp_path / "model.keras", *options)
        assert words in stdout and f"gsm, {CLASSES} classes" in stdout
        recognizer = keras_actrec.load(tmp_path / "model.keras")
        assert recognizer.class_names == tuple(f"Heben {i}" for i in range(CLASSES))
        assert (recognizer.preprocessor.sampling.frames, recognizer.preprocessor.transform.size) == (
            FRAMES,
            side,
        )
        assert recognizer.about["checkpoint"]["backbone"] == name
        found = np.log(recognizer.model.predict_on_batch(clips))
        expected = expected - np.log(np.exp(expected).sum())
    else:
        save(official(network.state), file, legacy=True)
        shape = (FRAMES, side, side, 3)
        model = zoo.build("gsm", CLASSES, backbone=name, input_shape=shape, classifier_activation=None)
        assert words in str(load_torch(model, file, complete=True))
        found = model.predict_on_batch(clips)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-3)


@pytest.mark.parametrize(
    "name, mistake",
    # InceptionV3 has no padding at stride 2 to get wrong
    [pair for pair in itertools.product(SIDES, MISTAKES) if pair != ("inception_v3", "same")],
)
def test_what_a_port_may_get_wrong_changes_the_logits(name, mistake):
    body, network, clips, expected = reference(name)
    assert abs(network.logits(clips, body, (mistake,)) - expected).max() > 0.07


def test_the_attention_of_sa_gsm_is_loaded_beside_the_gates(tmp_path):
    model = zoo.build("sa_gsm", CLASSES, input_shape=(2, 32, 32, 3))
    network = Network(2)
    network.logits(clips_of(32)[:, :2], bn_inception)
    gates = [name.split(".")[0] for name in network.state if name.endswith("conv3D.bias")]
    for gate in gates:
        channels = network.state[f"{gate}.bn.weight"].shape[0]
        network.draw(f"{gate}.attn.gamma", (1,), 0.1, mean=1.0)
        for part, width in (("query", channels // 8), ("key", channels // 8), ("value", channels)):
            network.draw(f"{gate}.attn.{part}_conv.weight", (width, channels, 1, 1), channels**-0.5)
            network.draw(f"{gate}.attn.{part}_conv.bias", width, 0.1)
    file = save(official(network.state), tmp_path / "sa_gsm.pth.tar")
    assert identify_checkpoint(file).model == "sa_gsm"
    report = load_torch(model, file, complete=True)
    assert (len(report.loaded), report.unused) == (69 * 6 + 62 + 70, ())

    x = torch.from_numpy(np.random.default_rng(2).normal(size=(1, 352, 3, 4)).astype("float32"))
    parts = {k.split(".attn.")[1]: v for k, v in network.state.items() if "5a_1x1.attn." in k}
    query, key, value = (
        functional.conv2d(x, parts[f"{part}_conv.weight"], parts[f"{part}_conv.bias"]).flatten(2)
        for part in ("query", "key", "value")
    )
    scores = torch.softmax(query.transpose(1, 2) @ key, -1)
    expected = x + parts["gamma"] * (value @ scores.transpose(1, 2)).reshape(x.shape)
    found = model.get_layer("inception_5a_1x1_attention")(x.permute(0, 2, 3, 1).numpy())
    found = keras.ops.convert_to_numpy(found).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def resnet50_names():
    """Every layer's name in torchvision and in Keras, and the shape of its weight in torchvision."""
    yield "conv1", "conv1_conv", (64, 3, 7, 7)
    yield "bn1", "conv1_bn", (64,)
    inputs = 64
    for stage, blocks in enumerate((3, 4, 6, 3), 1):
        filters = 32 * 2**stage
        for block in range(blocks):
            there, here = f"layer{stage}.{block}", f"conv{stage + 1}_block{block + 1}"
            shapes = [(filters, inputs, 1, 1), (filters, filters, 3, 3), (4 * filters, filters, 1, 1)]
            for place, shape in enumerate(shapes, 1):
                yield f"{there}.conv{place}", f"{here}_{place}_conv", shape
                yield f"{there}.bn{place}", f"{here}_{place}_bn", shape[:1]
            if block == 0:
                yield f"{there}.downsample.0", f"{here}_0_conv", (4 * filters, inputs, 1, 1)
                yield f"{there}.downsample.1", f"{here}_0_bn", (4 * filters,)
            inputs = 4 * filters


@pytest.mark.parametrize("kind", ["tsm", "tsn"])
def test_every_layer_of_resnet50_gets_the_tensors_of_its_name(kind, tmp_path):
    state, value = {"new_fc.weight": torch.zeros(5, 2048), "new_fc.bias": torch.zeros(5)}, 0
    for there, _, shape in resnet50_names():
        shifted = kind == "tsm" and there.startswith("layer") and there.endswith("conv1")
        parts = ("weight",) if len(shape) == 4 else ("weight", "bias", "running_mean", "running_var")
        for part in parts:  # each tensor is filled with a number of its own
            value += 1
            name = f"{there}.net.{part}" if shifted else f"{there}.{part}"
            state[name] = torch.tensor(float(value)).expand(shape)
    file = save(official(state), tmp_path / "file.pth.tar")
    found = identify_checkpoint(file)
    assert (found.model, found.backbone, found.num_classes) == (kind, "resnet50_v1_5", 5)
    model = zoo.build(kind, 5, backbone="resnet50_v1_5", input_shape=(2, 32, 32, 3))
    report = load_torch(model, file, complete=True)
    assert len(report.loaded) == len(state) == value + 2
    value = 0
    for _, here, _ in resnet50_names():
        for weight in model.get_layer(here).get_weights():  # of a norm: gamma, beta, mean and variance
            value += 1
            assert weight.min() == weight.max() == value


def tsm_logits(state, clips, fold=8):
    """TSM on ResNet-50 in torch: the input of each block's first convolution is shifted over the frames."""
    time = clips.shape[1]

    def conv(x, name, norm, stride=1, relu=True):
        kernel = state[f"{name}.weight"]
        x = functional.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)
        parts = [state[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        x = functional.batch_norm(x, *parts, eps=1e-5)
        return functional.relu(x) if relu else x

    def shift(x):
        x = x.reshape(-1, time, *x.shape[1:])
        part, out = x.shape[2] // fold, torch.zeros_like(x)
        out[:, :-1, :part] = x[:, 1:, :part]
        out[:, 1:, part : 2 * part] = x[:, :-1, part : 2 * part]
        out[:, :, 2 * part :] = x[:, :, 2 * part :]
        return out.flatten(0, 1)

    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = ((torch.tensor(clips).flatten(0, 1) / 255 - mean) / std).permute(0, 3, 1, 2)
    x = functional.max_pool2d(conv(x, "conv1", "bn1", 2), 3, 2, 1)
    for stage, blocks in enumerate((3, 4, 6, 3), 1):
        for block in range(blocks):
            name, stride = f"layer{stage}.{block}", 2 if block == 0 and stage > 1 else 1
            down = f"{name}.downsample"
            shortcut = x if block else conv(x, f"{down}.0", f"{down}.1", stride, relu=False)
            y = conv(shift(x), f"{name}.conv1.net", f"{name}.bn1")
            y = conv(y, f"{name}.conv2", f"{name}.bn2", stride)
            y = conv(y, f"{name}.conv3", f"{name}.bn3", relu=False)
            x = functional.relu(y + shortcut)
    logits = x.mean((2, 3)) @ state["new_fc.weight"].T + state["new_fc.bias"]
    return logits.reshape(-1, time, 5).mean(1).numpy()


def test_a_file_of_tsm_on_resnet50_gives_the_logits_of_torch(tmp_path):
    rng = np.random.default_rng(0)
    state = {"new_fc.weight": rng.normal(0, 0.1, (5, 2048)), "new_fc.bias": rng.normal(0, 1, 5)}
    for there, _, shape in resnet50_names():
        if len(shape) == 4:
            name = f"{there}.net" if there.startswith("layer") and there.endswith("conv1") else there
            state[f"{name}.weight"] = rng.normal(0, np.prod(shape[1:]) ** -0.5, shape)
            continue
        state[f"{there}.weight"], state[f"{there}.bias"] = np.full(shape, 0.7), rng.normal(0, 0.3, shape)
        state[f"{there}.running_mean"] = rng.normal(0, 0.3, shape)
        state[f"{there}.running_var"] = rng.uniform(0.8, 1.2, shape)
    state = {name: torch.tensor(value, dtype=torch.float32) for name, value in state.items()}
    file = save(official(state), tmp_path / "TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment8.pth")
    patches = rng.uniform(0, 255, (2, 3, 4, 4, 3)).astype("float32")
    clips = np.kron(patches, np.ones((8, 8, 1), "float32"))
    model = zoo.tsm(5, input_shape=(None, 32, 32, 3), classifier_activation=None, weights=file)
    expected = tsm_logits(state, clips)
    scale = np.abs(expected).max()
    assert np.abs(expected[0] - expected[1]).max() > 1e-2 * scale
    np.testing.assert_allclose(model.predict_on_batch(clips) / scale, expected / scale, rtol=0, atol=1e-4)
    assert np.abs(tsm_logits(state, clips[:, ::-1].copy()) - expected).max() > 1e-3 * scale


def small():
    """A model with a convolution, a norm and a head of three classes."""
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(8, 7, name="conv1_conv", use_bias=False)(inputs)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.BatchNormalization(name="conv1_bn")(x))
    return keras.Model(inputs, keras.layers.Dense(3, name="classifier")(x), name="small")


def small_state(classes=3):
    ones = {f"bn1.{part}": torch.ones(8) for part in ("weight", "bias", "running_mean", "running_var")}
    return {
        "conv1.weight": torch.ones(8, 3, 7, 7),
        **ones,
        "bn1.num_batches_tracked": torch.tensor(7),
        "fc.weight": torch.ones(classes, 8),
        "fc.bias": torch.ones(classes),
    }


def test_leading_axes_of_length_one_are_dropped_as_the_oldest_files_need_it(tmp_path):
    state = {name: value[None] for name, value in small_state().items()}
    model = small()
    load_torch(model, save(state, tmp_path / "old.pth", legacy=True), complete=True)
    assert all((weight == 1).all() for weight in model.get_weights())


def test_a_head_of_other_classes_is_left_and_the_report_says_so(tmp_path):
    model, file = small(), save({**small_state(5), "extra.weight": torch.ones(2)}, tmp_path / "file.pth")
    before = model.get_layer("classifier").get_weights()
    report = load_torch(model, file)
    assert report.loaded == (
        "conv1.weight",
        *(f"bn1.{part}" for part in ("weight", "bias", "running_mean", "running_var")),
    )
    assert report.unused == ("fc.weight", "fc.bias", "extra.weight")
    assert report.missing == ("classifier/kernel", "classifier/bias")
    assert report.classes == (5, 3)
    for old, new in zip(before, model.get_layer("classifier").get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)
    assert str(report) == (
        f"{file} into small: 5 tensors loaded; 3 left in the file (fc.weight, fc.bias, extra.weight); "
        "2 weights of the model missing in it (classifier/kernel, classifier/bias). "
        "The classifier is as it was: the file's has 5 classes, the model's 3."
    )


@pytest.mark.parametrize(
    "change, complete, words",
    [
        (
            {"bn1.bias": torch.ones(9)},
            False,
            "bn1.bias for conv1_bn/beta is 9 there, 8 here",
        ),
        (
            {"conv1.weight": torch.ones(8, 4, 7, 7)},
            False,
            "conv1.weight for conv1_conv/kernel is 7x7x4x8 there, 7x7x3x8 here",
        ),
        (
            {"conv1.weight": torch.ones(8, 3, 5, 7, 7)},
            False,
            "conv1.weight for conv1_conv/kernel is 8x3x5x7x7 there",
        ),
        ({"fc.weight": torch.ones(3, 9)}, False, "fc.weight for classifier/kernel is 9x3 there, 8x3 here"),
        ({"bn1.bias": None}, True, "it has nothing for conv1_bn/beta"),
        ({"fc.bias": torch.ones(5), "fc.weight": torch.ones(5, 8)}, True, "nothing for classifier/kernel"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_and_changes_nothing(change, complete, words, tmp_path):
    model = small()
    before = model.get_weights()
    state = {name: value for name, value in {**small_state(), **change}.items() if value is not None}
    file = save(state, tmp_path / "file.pth")
    message = refusal(load_torch, model, file, complete=complete)
    assert message.startswith(f"{file} does not fit small: ") and words in message
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)


def test_a_file_of_which_nothing_fits_is_refused(tmp_path):
    file = save({"blocks.0.weight": torch.ones(2), "conv1.other": torch.ones(2)}, tmp_path / "file.pth")
    assert "no layer of the model takes any of its tensors" in refusal(load_torch, small(), file)


RESNETS = {
    depth: {f"layer{s}.{b}.conv3.weight": torch.ones(1) for s, n in enumerate(blocks, 1) for b in range(n)}
    for depth, blocks in {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}.items()
}
BN_INCEPTION = {"inception_3a_1x1.weight": torch.ones(1)}
V3 = {"mixed_conv_Conv2D.weight": torch.ones(1)}
HEAD = {"new_fc.weight": torch.ones(174, 8)}


@pytest.mark.parametrize(
    "state, expected",
    [
        ({**BN_INCEPTION, **HEAD}, ("tsn", "bn_inception", 174)),
        ({**BN_INCEPTION, "fc.weight": torch.ones(1, 48, 8)}, ("tsn", "bn_inception", 48)),
        ({**V3, "gsm_mixed_conv_Conv2D.conv3D.bias": torch.ones(2), **HEAD}, ("gsm", "inception_v3", 174)),
        ({**V3, "top_cls_fc.weight": torch.ones(6, 8)}, ("tsn", "inception_v3", 6)),
        ({**RESNETS[50], "fc.weight": torch.ones(6, 8)}, ("tsn", "resnet50_v1_5", 6)),
    ],
)
def test_the_names_tell_the_model_the_backbone_and_the_classes(state, expected, tmp_path):
    found = identify_checkpoint(save(official(state), tmp_path / "file.pth"))
    assert (found.model, found.backbone, found.num_classes) == expected


@pytest.mark.parametrize(
    "state, words",
    [
        (BN_INCEPTION, "has no classifier: give it to backbones.build('bn_inception') as weights"),
        ({**RESNETS[101], **HEAD}, "holds none of BN-Inception, InceptionV3 and ResNet-50"),
        ({**BN_INCEPTION, **HEAD, "consensus.classifier.weight": torch.ones(1)}, "as TRN has it"),
        (HEAD, "holds none of BN-Inception, InceptionV3 and ResNet-50"),
    ],
)
def test_a_file_that_cannot_be_converted_is_refused_with_the_reason(state, words, tmp_path):
    file = save(state, tmp_path / "file.pth")
    assert words in refusal(from_torch, file)


def test_the_names_given_must_be_as_many_as_the_classes(tmp_path):
    file = save({**BN_INCEPTION, **HEAD}, tmp_path / "file.pth")
    assert "has 174 classes, but 2 names were given" in refusal(from_torch, file, class_names=["a", "b"])
