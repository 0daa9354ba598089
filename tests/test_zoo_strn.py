"""STRN: ResNet-50 frame by frame, what its connections add, and its weights."""

import keras
import numpy as np
import pytest

from checks import close, randomize
from keras_actrec import backbones, zoo
from keras_actrec.backbones import resnet50
from keras_actrec.errors import UserError
from keras_actrec.layers import TemporalSkip

# NumPy 2 says so of Keras's variables when a model is saved on JAX.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

SMALL = {"width": 0.125, "input_shape": (None, 32, 32, 3)}
CLIPS = np.random.default_rng(0).uniform(0, 255, (2, 4, 32, 32, 3)).astype("float32")
# ResNet-50 of 8, 8, 16, 32, 64 channels; a convolution has its kernel, a bias and a batch norm: 3 a channel.
STEM = 7 * 7 * 3 * 8 + 3 * 8
STAGES = [  # shortcut, first block, other blocks
    (below * 4 * c + 3 * 4 * c)
    + (below * c + 3 * c + 9 * c * c + 3 * c + 4 * c * c + 3 * 4 * c)
    + more * (4 * c * c + 3 * c + 9 * c * c + 3 * c + 4 * c * c + 3 * 4 * c)
    for below, c, more in ((8, 8, 2), (32, 16, 3), (64, 32, 5), (128, 64, 2))
]
PLAIN = STEM + sum(STAGES) + (256 + 1) * 3


def small(**arguments):
    return zoo.strn(3, **{**SMALL, "classifier_activation": None, **arguments})


def skips(model):
    """Block, kind and delay of every connection, in their order."""
    found = [layer for layer in model.layers if isinstance(layer, TemporalSkip)]
    return sorted((layer.name, layer.connection, layer.delay) for layer in found)


def trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


@pytest.fixture(scope="module")
def original():
    return keras.applications.ResNet50(weights=None, classes=5)


@pytest.fixture(scope="module")
def file(original, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet50.weights.h5"
    original.save_weights(path)
    return path


def test_with_connections_of_zeros_it_is_keras_s_resnet50_frame_by_frame(original, file):
    model = zoo.strn(3, input_shape=(None, 32, 32, 3), connection="linear", weights=file)
    skip = model.get_layer("conv5_block3_skip")
    skip.kernel.assign(np.zeros(skip.kernel.shape))
    found = keras.Model(model.input, model.get_layer("features").output).predict_on_batch(CLIPS)

    body = keras.applications.ResNet50(
        weights=None, include_top=False, pooling="avg", input_shape=(32, 32, 3)
    )
    body.set_weights(original.get_weights()[:-2])
    frames = keras.applications.resnet50.preprocess_input(CLIPS.reshape(8, 32, 32, 3).copy())
    expected = body.predict_on_batch(frames).reshape(2, 4, 2048)
    close(found / np.abs(expected).max(), expected / np.abs(expected).max(), 1e-5)


def test_the_weights_of_resnet50_load_by_name_and_the_classifier_stays(original, file):
    source = zoo.strn(3)
    kernel = source.get_layer("classifier").get_weights()
    resnet50.load_applications(source, file)
    for name in ("conv1_conv", "conv3_block1_0_bn", "conv5_block3_3_conv"):
        close(source.get_layer(name).get_weights(), original.get_layer(name).get_weights(), 0)
    close(source.get_layer("classifier").get_weights(), kernel, 0)


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_its_own_weights_load_whole(suffix, tmp_path):
    source = randomize(small(connection="linear"))
    getattr(source, "save" if suffix == ".keras" else "save_weights")(tmp_path / f"a{suffix}")
    read = small(connection="linear", weights=tmp_path / f"a{suffix}")
    close(read.get_weights(), source.get_weights(), 0)


@pytest.mark.parametrize(
    "arguments, reach",
    [
        ({"temporal_context": 1}, 0),
        ({}, 1),
        ({"temporal_context": 3, "connection": "nonlinear"}, 2),
        ({"special3": True}, 2),
    ],
)
def test_the_answer_depends_on_the_frames_of_its_context_alone(arguments, reach):
    model = small(**arguments)
    expected = model.predict_on_batch(CLIPS)
    for back in range(4):
        clips = CLIPS.copy()
        clips[:, -1 - back] = 255 - clips[:, -1 - back]
        change = np.abs(model.predict_on_batch(clips) - expected).max() / np.abs(expected).max()
        assert change > 1e-3 if back <= reach else change < 1e-6, back


@pytest.mark.parametrize("special3", [False, True])
def test_a_context_of_0_is_as_long_as_the_clip(special3):
    skips = {}
    for context in (0, 3 - special3):
        model = small(temporal_context=context, special3=special3, input_shape=(3, 32, 32, 3))
        skips[context] = [layer.name for layer in model.layers if "_skip" in layer.name]
    assert skips[0] == skips[3 - special3] and len(skips[0]) == 4  # two connections, each folded
    with pytest.raises(UserError, match="takes the number of frames from `input_shape`, which has none"):
        small(temporal_context=0, input_shape=(None, 32, 32, 3))


def test_a_connection_adds_the_input_of_its_block_one_frame_before():
    model = small()
    names = ("conv5_block3_3_bn", "conv5_block2_out", "conv5_block3_add")
    tensors = [model.get_layer(name).output for name in names]
    main, before, total = keras.Model(model.input, tensors).predict_on_batch(CLIPS)
    main, before, total = (x.reshape(2, 4, *x.shape[1:]) for x in (main, before, total))
    expected = main + before
    expected[:, 1:] += before[:, :-1]  # within a clip only
    scale = np.abs(expected).max()
    close(total / scale, expected / scale, 1e-5)


@pytest.mark.parametrize(
    "arguments, expected, parameters",
    [
        ({}, [("conv5_block3_skip", "identity", 1)], 0),
        (
            {"placement": "98-104", "temporal_context": 5},
            [
                (f"conv{block}_skip", "identity", 1)
                for block in ("4_block5", "4_block6", "5_block2", "5_block3")
            ],
            0,
        ),
        (
            {"placement": "86-92", "connection": "linear", "temporal_context": 3},
            [("conv4_block6_skip", "linear", 1), ("conv5_block1_skip", "linear", 1)],
            128 * 128 + 128 * 256,
        ),
        ({"placement": "49-55", "connection": "linear"}, [("conv4_block1_skip", "linear", 1)], 64 * 128),
        ({"placement": "5-11", "connection": "nonlinear"}, [("conv2_block1_skip", "nonlinear", 1)], 8 * 32),
        (
            {"placement": "conv4_block3", "special3": True},
            [("conv4_block3_skip", "identity", 1), ("conv4_block3_skip_2", "identity", 2)],
            0,
        ),
    ],
)
def test_connections_are_where_they_should_be(arguments, expected, parameters):
    model = small(**arguments)
    assert skips(model) == expected
    assert trainable(model) == PLAIN + parameters
    assert model.output_shape == (None, 3)


LITE0 = {"backbone": "efficientnet_lite0", "width": 0.125, "input_shape": (None, 32, 32, 3)}


def test_a_connection_of_lite0_is_beside_the_shortcut():
    model = randomize(small(**LITE0, connection="linear"), scale=0.1)
    names = ("block6d_project_bn", "block6c_add", "block6d_add")
    tensors = [model.get_layer(name).output for name in names]
    main, before, total = keras.Model(model.input, tensors).predict_on_batch(CLIPS)
    main, before, total = (x.reshape(2, 4, *x.shape[1:]) for x in (main, before, total))
    expected = main + before
    expected[:, 1:] += before[:, :-1] @ model.get_layer("block6d_skip").get_weights()[0]
    scale = np.abs(expected).max()
    close(total / scale, expected / scale, 1e-5)
    assert np.abs(expected[:, 1:] - (main + before)[:, 1:]).max() > 1e-3 * scale


def test_the_blocks_of_lite0_that_have_a_shortcut_can_have_a_connection():
    plain = trainable(backbones.build("efficientnet_lite0", weights=None, width=0.125)) + (160 + 1) * 3
    model = small(**LITE0, temporal_context=3, special3=True)
    expected = [("block6c_skip", "identity", 1), ("block6d_skip", "identity", 1)]
    assert skips(model) == [*expected, ("block6d_skip_2", "identity", 2)]
    assert trainable(model) == plain
    model = small(**LITE0, placement="block5c", temporal_context=3, connection="linear")
    assert skips(model) == [("block5b_skip", "linear", 1), ("block5c_skip", "linear", 1)]
    assert trainable(model) == plain + 2 * 16 * 16


def test_the_default_input_is_the_context_of_the_paper():
    defaults = [zoo.strn(101).input_shape, zoo.strn(101, width=0.125, special3=True).input_shape]
    assert defaults == [(None, 2, 224, 224, 3), (None, 3, 224, 224, 3)]


def test_with_a_mask_the_last_valid_step_answers():
    model = small(masked=True, input_shape=(None, None, None, 3))
    clips, mask = CLIPS.copy(), np.array([[True, True, False, False], [True] * 4])
    clips[~mask] = 0
    found = model.predict_on_batch({"clip": clips, "mask": mask})
    plain = small(input_shape=(None, None, None, 3))
    plain.set_weights(model.get_weights())
    scale = np.abs(found).max()
    close(found[:1] / scale, plain.predict_on_batch(CLIPS[:1, :2]) / scale, 1e-5)
    close(found[1:] / scale, plain.predict_on_batch(CLIPS[1:]) / scale, 1e-5)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"placement": "7-13"}, "`placement` must be one of 5-11, 49-55, 86-92, 98-104, conv2_block1, "),
        ({"placement": "86-92"}, "An identity does not fit conv5_block1, which changes the shape: choose "),
        (
            {"placement": "86-92", "connection": "linear", "special3": True},
            "An identity does not fit conv5_block1, which changes the shape: choose ",
        ),
        (
            {"backbone": "resnet101"},
            "`backbone` must be one of resnet50, efficientnet_lite0. Received: ",
        ),
        (
            {**LITE0, "placement": "block7a"},
            "`placement` must be one of block2b, block3b, block4b, ",
        ),
        ({"connection": "none"}, "`connection` must be one of identity, linear, nonlinear."),
        (
            {"temporal_context": -1},
            "`temporal_context` must be a whole number from 0 to 65536. Received: temp",
        ),
        (
            {"temporal_context": 14},
            "Up to conv5_block3 a connection fits 12 blocks: `temporal_context` is at",
        ),
        ({"temporal_context": 1, "special3": True}, "`special3` comes next to a connection: it needs"),
        ({"input_shape": (32, 32, 3)}, "`input_shape` of clips is (T, H, W, 3). Received: input_shape=(32, "),
        ({"weights": "absent.weights.h5"}, "no such weight file: absent.weights.h5"),
    ],
)
def test_a_bad_argument_of_strn_is_named_in_one_line(arguments, message):
    with pytest.raises(UserError) as caught:
        small(**arguments)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_the_gru_reads_the_normalized_features_of_the_valid_steps():
    model = zoo.frame_gru(3, input_shape=(None, 2, 2, 3), units=2, masked=True)
    normalize = model.get_layer("z_normalization")
    features = np.random.default_rng(1).normal(size=(8, 5, 2, 2, 3)).astype("float32")
    mask = np.ones((8, 5), bool)
    mask[:4, 3:] = False
    features[~mask] = 100.0
    model.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    model.train_on_batch({"features": features, "mask": mask}, np.arange(8) % 3)
    valid = features.mean((2, 3))[mask]
    close(normalize.moving_mean, 0.1 * valid.mean(0), 1e-5)
    close(normalize.moving_variance, 0.9 + 0.1 * valid.var(0), 1e-5)
    plain = zoo.frame_gru(3, input_shape=(None, 2, 2, 3), units=2, normalize=False)
    assert trainable(plain) == trainable(model) == 3 * 2 * (3 + 2 + 2) + (2 + 1) * 3
