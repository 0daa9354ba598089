"""BN-Inception and InceptionV3: sizes and names, and their weight files.

Their numbers are compared with torch's in `test_checkpoints_official.py`.
"""

import hashlib

import keras
import numpy as np
import pytest

from keras_actrec import backbones
from keras_actrec.backbones import InputScaling, _inception, bn_inception, inception_v3
from keras_actrec.backbones._weights import IMAGENET
from keras_actrec.errors import UserError

# NumPy 2 says so of Keras's variables when a model is saved on JAX.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

MODULES = {"bn_inception": bn_inception, "inception_v3": inception_v3}


@pytest.fixture(scope="module", params=MODULES)
def network(request):
    return backbones.build(request.param, weights=None)


def count(weights):
    return sum(int(np.prod(weight.shape)) for weight in weights)


def test_the_parameters_are_the_published_ones(network):
    # with a head of 174 classes; then the batch statistics and the convolutions
    published = {"bn_inception": (10_448_590, 20_032, 69), "inception_v3": (22_159_310, 34_432, 94)}
    head = (network.output_shape[-1] + 1) * 174
    convolutions = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    found = (count(network.trainable_weights) + head, count(network.non_trainable_weights), len(convolutions))
    assert found == published[network.name]


def test_the_stages_have_the_official_names_and_sizes(network):
    if network.name == "bn_inception":
        side, names = 224, [f"inception_{block}_output" for block in "3a 3b 3c 4a 4b 4c 4d 4e 5a 5b".split()]
        names = ["pool1_3x3_s2", "pool2_3x3_s2", *names]
        sides = (56, 28, 28, 28, 14, 14, 14, 14, 14, 7, 7, 7)
        channels = (64, 192, 256, 320, 576, 576, 576, 608, 608, 1056, 1024, 1024)
    else:
        side, names = 229, ["pool", "pool_1", "mixed_join", *(f"mixed_{n}_join" for n in range(1, 11))]
        sides = (56, 27, 27, 27, 27, 13, 13, 13, 13, 13, 6, 6, 6)
        channels = (64, 192, 256, 288, 288, 768, 768, 768, 768, 768, 1280, 2048, 2048)
    stages = keras.Model(network.input, [network.get_layer(name).output for name in names])
    expected = [(5, size, size, depth) for size, depth in zip(sides, channels, strict=True)]
    assert stages.compute_output_shape((5, side, side, 3)) == expected


def test_ten_convolutions_are_gated_as_the_published_numbers_of_parameters_say(network):
    filters = [network.get_layer(name).filters for name in MODULES[network.name].GATED]
    published = {
        "bn_inception": ([64, 64, 128, 224, 192, 160, 96, 128, 352, 352], 51_060),
        "inception_v3": ([64, 64, 64, 64, 192, 192, 192, 192, 320, 320], 48_276),
    }
    assert (filters, sum(29 * c + 2 for c in filters)) == published[network.name]


@pytest.mark.parametrize("side", [96, 100, 101, 112, 129])
def test_height_and_width_are_free(network, side):
    batch, height, width, _ = network.compute_output_shape((2, side, 128, 3))
    assert batch == 2 and height >= 1 and width >= 1


def test_narrow_networks_keep_multiples_of_8_and_run_on_whole_numbers():
    model = backbones.bn_inception.bn_inception(weights=None, width=0.1)
    filters = [layer.filters for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert filters[:3] == [8, 8, 16]  # 6.4, 6.4 and 19.2
    images = np.random.default_rng(0).integers(0, 256, (2, 40, 32, 3)).astype("uint8")
    features = model.predict_on_batch(images)
    assert features.shape == (2, 2, 1, 32 + 32 + 24 + 16)  # 35.2, 32, 22.4 and 12.8
    assert np.isfinite(features).all()


def test_the_norms_are_those_of_torch(network):
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert {(norm.momentum, norm.epsilon) for norm in norms} == {(0.9, 1e-5)}


@pytest.mark.parametrize("side", [4, 5, 6, 7])
def test_the_poolings_are_those_of_caffe(side):
    x = np.random.default_rng(0).uniform(0, 1, (1, side, side, 1)).astype("float32")
    image = x[0, :, :, 0]
    starts = range(0, side - 1, 2)  # every window that starts inside, but for one of a single row
    starts = [start for start in starts if start + 1 < side and (start + 2 < side or side % 2 == 0)]
    largest = np.array([[image[i : i + 3, j : j + 3].max() for j in starts] for i in starts])
    np.testing.assert_array_equal(_inception.max_pool(x, "pool")[0, :, :, 0], largest)
    wide = np.pad(image, 1)
    ninths = np.array([[wide[i : i + 3, j : j + 3].sum() / 9 for j in range(side)] for i in range(side)])
    np.testing.assert_allclose(_inception.average_pool(x, "pool")[0, :, :, 0], ninths, atol=1e-6)


def test_the_input_is_blue_green_red_minus_the_mean():
    found = InputScaling("bgr")(np.array([[[10, 20, 30]]], "uint8"))
    np.testing.assert_array_equal(found, [[[30 - 104, 20 - 117, 10 - 128]]])


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    """A narrow BN-Inception and its weights in a torch file with a head, whose name ends in its hash."""
    torch = pytest.importorskip("torch", reason="torch is not installed: it writes the file")
    model = bn_inception.bn_inception(weights=None, width=0.125)
    state = {"fc.weight": torch.zeros(1, 5, 128), "fc.bias": torch.zeros(1, 5)}
    for layer in model.layers:
        weights = [torch.tensor(weight)[None] for weight in layer.get_weights()]
        if isinstance(layer, keras.layers.Conv2D):
            state[f"{layer.name}.weight"] = weights[0].permute(0, 4, 3, 1, 2)
            state[f"{layer.name}.bias"] = weights[1]
        elif weights:
            for part, weight in zip(("weight", "bias", "running_mean", "running_var"), weights, strict=True):
                state[f"{layer.name}.{part}"] = weight
    folder = tmp_path_factory.mktemp("weights")
    torch.save(state, folder / "file.pth")
    digits = hashlib.sha256((folder / "file.pth").read_bytes()).hexdigest()[:16]
    return model, (folder / "file.pth").rename(folder / f"bn_inception-{digits}.pth")


def same_weights(model, other):
    pairs = zip(model.get_weights(), other.get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("kind", ["torch", "keras", "imagenet"])
def test_weights_come_from_a_file(narrow, kind, tmp_path, monkeypatch):
    model, file = narrow
    weights = file
    if kind == "keras":
        weights = tmp_path / "w.weights.h5"
        model.save_weights(weights)
    if kind == "imagenet":
        weights = "imagenet"
        asked = []
        monkeypatch.setitem(IMAGENET, "bn_inception", f"https://example.org/models/{file.name}")
        monkeypatch.setattr(keras.utils, "get_file", lambda *args, **kwargs: asked.append(args) or str(file))
    assert same_weights(bn_inception.bn_inception(weights=weights, width=0.125, name="other"), model)
    if kind == "imagenet":
        assert asked == [(file.name, f"https://example.org/models/{file.name}")]


@pytest.mark.parametrize("name", IMAGENET)
def test_a_failed_download_is_one_line_with_the_way_out(name, monkeypatch):
    def fail(file, origin, **kwargs):
        raise Exception(f"URL fetch failure on {origin}:\nNone -- unreachable")

    monkeypatch.setattr(keras.utils, "get_file", fail)
    with pytest.raises(UserError) as caught:
        backbones.build(name)
    assert str(caught.value).startswith(
        f"{name}'s ImageNet weights could not be downloaded (pass weights=None"
    )
    assert "\n" not in str(caught.value)


def test_a_file_with_another_hash_is_refused_and_removed(tmp_path, monkeypatch):
    file = tmp_path / "bn_inception-9f5701afb96c8044.pth"
    file.write_bytes(b"sold to somebody else")
    monkeypatch.setattr(keras.utils, "get_file", lambda *args, **kwargs: str(file))
    with pytest.raises(
        UserError, match="gave another file: its SHA-256 starts with [0-9a-f]{16}, not 9f5701af"
    ):
        backbones.build("bn_inception")
    assert not file.exists()


def test_a_file_that_lacks_a_weight_is_refused(narrow, tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed: it writes the file")
    state = torch.load(narrow[1])
    del state["inception_4c_3x3_bn.bias"]
    torch.save(state, tmp_path / "file.pth")
    with pytest.raises(UserError, match="it has nothing for inception_4c_3x3_bn/beta"):
        bn_inception.bn_inception(weights=tmp_path / "file.pth", width=0.125)
