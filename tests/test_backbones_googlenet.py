"""GoogLeNet: its numbers are those of torchvision's network, written again in torch."""

import keras
import numpy as np
import pytest

from keras_actrec import backbones
from keras_actrec.errors import UserError

torch = pytest.importorskip("torch", reason="torch is not installed: it writes the file")
functional = torch.nn.functional

# NumPy 2 says so of Keras's variables when a model is saved on JAX.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

# Szegedy et al., table 1: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection.
TABLE = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


class Unit(torch.nn.Module):
    """A convolution without bias, its normalization, and a ReLU."""

    def __init__(self, inputs, outputs, size=1, stride=1):
        super().__init__()
        self.conv = torch.nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
        self.bn = torch.nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x):
        return functional.relu(self.bn(self.conv(x)))


class Block(torch.nn.Module):
    def __init__(self, inputs, one, reduce, three, reduce_5, five, project):
        super().__init__()
        self.branch1 = Unit(inputs, one)
        self.branch2 = torch.nn.Sequential(Unit(inputs, reduce), Unit(reduce, three, 3))
        self.branch3 = torch.nn.Sequential(Unit(inputs, reduce_5), Unit(reduce_5, five, 3))
        pool = torch.nn.MaxPool2d(3, 1, 1, ceil_mode=True)
        self.branch4 = torch.nn.Sequential(pool, Unit(inputs, project))

    def forward(self, x):
        branches = self.branch1, self.branch2, self.branch3, self.branch4
        return torch.cat([branch(x) for branch in branches], 1)


class GoogLeNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2, self.conv3 = Unit(3, 64, 7, 2), Unit(64, 64), Unit(64, 192, 3)
        channels = 192
        for name, filters in TABLE.items():
            setattr(self, f"inception{name}", Block(channels, *filters))
            channels = filters[0] + filters[2] + filters[4] + filters[5]
        self.fc = torch.nn.Linear(channels, 1000)

    def forward(self, x):
        """Frames `(B, H, W, 3)` of 0 to 255 to the map `(B, H, W, 1024)`, at even sides of all maps."""
        x = x.permute(0, 3, 1, 2)
        mean, spread = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        x = (x / 255 - mean[:, None, None]) / spread[:, None, None]
        # What torchvision calls `transform_input`.
        x = x * (spread / 0.5)[:, None, None] + ((mean - 0.5) / 0.5)[:, None, None]
        x = functional.max_pool2d(self.conv1(x), 3, 2, ceil_mode=True)
        x = functional.max_pool2d(self.conv3(self.conv2(x)), 3, 2, ceil_mode=True)
        for name in TABLE:
            if name in ("4a", "5a"):
                x = functional.max_pool2d(x, 3 if name == "4a" else 2, 2, ceil_mode=True)
            x = getattr(self, f"inception{name}")(x)
        return x.permute(0, 2, 3, 1)


@pytest.fixture(scope="module")
def theirs():
    """The network with statistics of its own, as a trained one has them."""
    torch.manual_seed(0)
    network = GoogLeNet().eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.2, 0.6)
            module.bias.data.uniform_(-1, 1)
    return network


@pytest.fixture(scope="module")
def file(theirs, tmp_path_factory):
    """Its weights under torchvision's names, with a head of those that only training uses."""
    state = {**theirs.state_dict(), "aux1.conv.conv.weight": torch.zeros(128, 512, 1, 1)}
    path = tmp_path_factory.mktemp("weights") / "googlenet.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def ours(file):
    return backbones.build("googlenet", weights=file, input_shape=(64, 96, 3))


def test_it_gives_the_map_of_torchs_network(ours, theirs):
    frames = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3)).astype("uint8")
    with torch.no_grad():
        expected = theirs(torch.from_numpy(frames).float()).numpy()
    found = ours.predict_on_batch(frames)
    assert found.shape == (2, 2, 3, 1024) and expected.std() > 0.1
    np.testing.assert_allclose(found, expected, atol=2e-4 * np.abs(expected).max())


def test_the_parameters_are_the_published_ones(ours):
    trained = sum(int(np.prod(weight.shape)) for weight in ours.trainable_weights)
    assert trained + 1025 * 1000 == 6_624_904  # of torchvision's, without the heads of training
    assert sum(isinstance(layer, keras.layers.Conv2D) for layer in ours.layers) == 57


def test_the_stages_have_the_sizes_of_the_paper():
    model = backbones.build("googlenet", weights=None)
    names = [f"inception{name}_output" for name in TABLE]
    stages = keras.Model(model.input, [model.get_layer(name).output for name in names])
    sides, channels = (28, 28, *[14] * 5, 7, 7), (256, 480, 512, 512, 512, 528, 832, 832, 1024)
    expected = [(5, side, side, depth) for side, depth in zip(sides, channels, strict=True)]
    assert stages.compute_output_shape((5, 224, 224, 3)) == expected


def test_it_is_cut_and_narrowed_and_a_file_that_lacks_a_weight_is_refused(theirs, tmp_path):
    model = backbones.build("googlenet:inception3a_output", weights=None, width=0.125)
    assert model.compute_output_shape((1, 224, 224, 3)) == (1, 28, 28, 8 + 16 + 8 + 8)
    state = theirs.state_dict()
    del state["inception4c.branch3.1.bn.bias"]
    torch.save(state, tmp_path / "file.pth")
    with pytest.raises(UserError, match="it has nothing for inception4c_branch3_1_bn/beta"):
        backbones.build("googlenet", weights=tmp_path / "file.pth")
