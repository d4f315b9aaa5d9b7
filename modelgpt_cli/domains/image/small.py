"""The offline default network: small, made for one core of an ordinary processor at 128 x 128 pixels.

Dense 3x3 convolutions where images are large and channels few (processors do these fastest for what they give),
inverted residuals where channels are many. No squeeze-and-excitation and plain ReLU: both alternatives cost time, and
accuracy in 8 bits.
Shapes: N images, S pixels a side, c channels.
"""

from __future__ import annotations

from torch import Tensor, nn

FEATURES = 512
_STEM = 24
_STAGES: tuple[tuple[str, int, int, int], ...] = (
    # kind of block, channels, expansion, blocks; the first of a stage halves the side
    ("dense", 48, 1, 2),
    ("inverted", 96, 4, 4),
    ("inverted", 224, 3, 6),
)


class SmallNet(nn.Module):
    """2.1 M parameters; images (N, 3, S, S) to features (N, 512). S is a multiple of 16, 128 by design."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Unit(3, _STEM, 3, stride=2)
        self.stages = nn.Sequential()
        channels = _STEM
        for kind, width, expansion, blocks in _STAGES:
            stage = nn.Sequential()
            for i in range(blocks):
                stride = 2 if i == 0 else 1
                if kind == "dense":
                    stage.append(_Dense(channels, width, stride))
                else:
                    stage.append(_Inverted(channels, width, stride, expansion))
                channels = width
            self.stages.append(stage)
        self.last = _Unit(channels, FEATURES, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        _start(self)

    def forward(self, x: Tensor) -> Tensor:
        """Features (N, 512)."""
        x = self.stem(x)  # (N, c, S/2, S/2)
        x = self.stages(x)  # (N, c, S/16, S/16)
        features: Tensor = self.pool(self.last(x)).flatten(1)
        return features


class _Unit(nn.Module):
    """A convolution that keeps the side but for its stride, its BatchNorm, and ReLU where `act`."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, act: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.act = nn.ReLU() if act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.norm(self.conv(x)))
        return out


class _Dense(nn.Module):
    """Two 3x3 convolutions, and around them a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = _Unit(inputs, outputs, 3, stride=stride)
        self.second = _Unit(outputs, outputs, 3, act=False)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else _Unit(inputs, outputs, 1, stride=stride, act=False)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.second(self.first(x)) + self.shortcut(x))
        return out


class _Inverted(nn.Module):
    """Channels widened, a 3x3 convolution of each, and narrowed again; a shortcut where the shape stays."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = _Unit(inputs, wide, 1)
        self.depthwise = _Unit(wide, wide, 3, stride=stride, groups=wide)
        self.project = _Unit(wide, outputs, 1, act=False)
        self.same = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + out if self.same else out


def _start(model: nn.Module) -> None:
    """Initial weights: He's; the last BatchNorm of a residual starts at zero, so that each block starts as nothing."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if isinstance(module, _Inverted) and module.same:
            nn.init.zeros_(module.project.norm.weight)
        if isinstance(module, _Dense) and isinstance(module.shortcut, nn.Identity):
            nn.init.zeros_(module.second.norm.weight)
