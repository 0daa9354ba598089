"""Three networks in plain PyTorch, as their authors would write them, to measure ours by (whole_networks.py).

Frames come as ours take them, `(N, H, W, 3)`, 0-255, and are scaled inside.
"""

import torch
from torch import nn
from torch.nn import functional

BLOCKS = (
    (64, 64, 64, 64, 96, 32),
    (64, 64, 96, 64, 96, 64),
    (None, 128, 160, 64, 96, None),
    (224, 64, 96, 96, 128, 128),
    (192, 96, 128, 96, 128, 128),
    (160, 128, 160, 128, 160, 128),
    (96, 128, 192, 160, 192, 128),
    (None, 128, 192, 192, 256, None),
    (352, 192, 320, 160, 224, 128),
    (352, 192, 320, 192, 224, 128),
)  # BN-Inception: 1x1; 3x3 reduce, 3x3; double 3x3 reduce, both 3x3; projection
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)  # EfficientNet-Lite0: kernel, stride, expansion, channels, blocks


class Gate(nn.Module):
    """GSM's module behind a convolution, for clips of `steps` frames."""

    def __init__(self, channels, steps):
        super().__init__()
        self.steps = steps
        self.bn = nn.BatchNorm3d(channels)
        self.conv = nn.Conv3d(channels, 2, 3, padding=1, groups=2)

    def forward(self, x):
        clips = x.unflatten(0, (-1, self.steps)).transpose(1, 2)  # (B, C, T, H, W)
        gates = torch.tanh(self.conv(functional.relu(self.bn(clips)))).chunk(2, 1)
        halves = []
        for half, gate, ahead in zip(clips.chunk(2, 1), gates, (True, False), strict=True):
            moving = gate * half
            zero = torch.zeros_like(moving[:, :, :1])
            parts = [moving[:, :, 1:], zero] if ahead else [zero, moving[:, :, :-1]]
            half = torch.cat(parts, 2) + half - moving
            halves.append(half.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2))
        return torch.cat(halves, 1).transpose(1, 2).flatten(0, 1)


class Unit(nn.Sequential):
    """Convolution, maybe a gate, batch normalization, ReLU."""

    def __init__(self, inputs, outputs, kernel=1, stride=1, steps=0):
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)
        gate = [Gate(outputs, steps)] if steps else []
        super().__init__(conv, *gate, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class InceptionBlock(nn.Module):
    """A block of BN-Inception with a gate in its shortest branch."""

    def __init__(self, inputs, filters, last, steps):
        super().__init__()
        single, reduce, triple, double_reduce, double, projection = filters
        stride = 1 if single else 2
        branches = [Unit(inputs, single, steps=steps)] if single else []
        branches.append(
            nn.Sequential(Unit(inputs, reduce, steps=0 if single else steps), Unit(reduce, triple, 3, stride))
        )
        branches.append(
            nn.Sequential(
                Unit(inputs, double_reduce),
                Unit(double_reduce, double, 3),
                Unit(double, double, 3, stride),
            )
        )
        if not single:
            pool = [nn.MaxPool2d(3, 2, ceil_mode=True)]
        else:
            pool = [nn.MaxPool2d(3, 1, 1) if last else nn.AvgPool2d(3, 1, 1), Unit(inputs, projection)]
        self.branches = nn.ModuleList([*branches, nn.Sequential(*pool)])
        self.outputs = (single or 0) + triple + double + (projection or inputs)

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.branches], 1)


class GSM(nn.Module):
    """GSM on BN-Inception: logits of clips `(B, T, H, W, 3)`."""

    def __init__(self, classes, steps):
        super().__init__()
        layers = [Unit(3, 64, 7, 2), nn.MaxPool2d(3, 2, ceil_mode=True), Unit(64, 64), Unit(64, 192, 3)]
        layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))
        channels = 192
        for number, filters in enumerate(BLOCKS, 1):
            layers.append(InceptionBlock(channels, filters, number == len(BLOCKS), steps))
            channels = layers[-1].outputs
        self.network = nn.Sequential(*layers)
        self.dropout = nn.Dropout(0.5)
        self.classifier = nn.Linear(channels, classes)
        self.register_buffer("mean", torch.tensor([104.0, 117.0, 128.0]).reshape(3, 1, 1))

    def forward(self, clips):
        x = clips.flatten(0, 1).permute(0, 3, 1, 2).flip(1) - self.mean
        x = self.classifier(self.dropout(self.network(x).mean((2, 3))))
        return x.unflatten(0, (len(clips), -1)).mean(1)


class LiteConv(nn.Sequential):
    """Convolution with TensorFlow's `same` padding, batch normalization, ReLU6."""

    def __init__(self, inputs, outputs, kernel=1, stride=1, groups=1, relu=True):
        total = kernel - stride  # of sides that the stride divides
        layers = [nn.ZeroPad2d((total // 2, total - total // 2) * 2)] if stride > 1 else []
        padding = kernel // 2 if stride == 1 else 0
        layers.append(nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False))
        layers.append(nn.BatchNorm2d(outputs, 1e-3))
        super().__init__(*layers, *([nn.ReLU6(inplace=True)] if relu else []))


class Bottleneck(nn.Module):
    """An inverted bottleneck of EfficientNet-Lite0."""

    def __init__(self, inputs, kernel, stride, expansion, outputs):
        super().__init__()
        width = inputs * expansion
        expand = [LiteConv(inputs, width)] if expansion > 1 else []
        depthwise = LiteConv(width, width, kernel, stride, width)
        self.network = nn.Sequential(*expand, depthwise, LiteConv(width, outputs, relu=False))
        self.keeps = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.network(x) if self.keeps else self.network(x)


class Lite0(nn.Module):
    """EfficientNet-Lite0 without its top: the map of frames `(N, H, W, 3)`, channels first."""

    def __init__(self):
        super().__init__()
        layers, channels = [LiteConv(3, 32, 3, 2)], 32
        for kernel, stride, expansion, outputs, blocks in STAGES:
            for block in range(blocks):
                layers.append(Bottleneck(channels, kernel, 1 if block else stride, expansion, outputs))
                channels = outputs
        self.network = nn.Sequential(*layers, LiteConv(channels, 1280))

    def forward(self, frames):
        return self.network((frames.permute(0, 3, 1, 2) - 127) / 128)


class TSN(nn.Module):
    """TSN on EfficientNet-Lite0: logits of clips `(B, T, H, W, 3)`, averaged over the frames."""

    def __init__(self, classes):
        super().__init__()
        self.frames = Lite0()
        self.classifier = nn.Sequential(nn.Dropout(0.8), nn.Linear(1280, classes))

    def forward(self, clips):
        x = self.frames(clips.flatten(0, 1)).mean((2, 3)).unflatten(0, clips.shape[:2])
        return self.classifier(x).mean(1)


class Residual(nn.Module):
    """A bottleneck of ResNet-50, its stride in the first convolution; maybe with the frame before."""

    def __init__(self, inputs, filters, stride, steps=0):
        super().__init__()
        self.steps = steps
        self.shortcut = nn.Sequential()
        if inputs != 4 * filters:
            self.shortcut = self._conv(inputs, 4 * filters, 1, stride)
        self.network = nn.Sequential(
            self._conv(inputs, filters, 1, stride),
            nn.ReLU(inplace=True),
            self._conv(filters, filters, 3, 1),
            nn.ReLU(inplace=True),
            self._conv(filters, 4 * filters, 1, 1),
        )

    @staticmethod
    def _conv(inputs, outputs, kernel, stride):
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)
        return nn.Sequential(conv, nn.BatchNorm2d(outputs, 1.001e-5, 0.01))

    def forward(self, x):
        y = self.network(x) + self.shortcut(x)
        if self.steps:
            before = x.unflatten(0, (-1, self.steps))[:, :-1]
            y = y + functional.pad(before, (0, 0, 0, 0, 0, 0, 1, 0)).flatten(0, 1)
        return functional.relu(y)


class STRN(nn.Module):
    """STRN on ResNet-50, the last block connected: logits of the last frame of clips `(B, T, H, W, 3)`."""

    def __init__(self, classes, steps):
        super().__init__()
        self.steps = steps
        layers = [nn.Conv2d(3, 64, 7, 2, 3), nn.BatchNorm2d(64, 1.001e-5, 0.01), nn.ReLU(inplace=True)]
        layers.append(nn.MaxPool2d(3, 2, 1))
        channels = 64
        for filters, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
            for block in range(blocks):
                last = filters == 512 and block == blocks - 1
                layers.append(Residual(channels, filters, 1 if block else stride, steps if last else 0))
                channels = 4 * filters
        self.network = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, classes)
        self.register_buffer("mean", torch.tensor([103.939, 116.779, 123.68]).reshape(3, 1, 1))

    def forward(self, clips):
        x = clips.flatten(0, 1).permute(0, 3, 1, 2).flip(1) - self.mean
        x = self.network(x).mean((2, 3)).unflatten(0, (len(clips), self.steps))
        return self.classifier(x[:, -1])
