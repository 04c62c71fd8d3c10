# SPDX-License-Identifier: Apache-2.0
"""GoogLeNet: nine inception modules, each four branches side by side.

                +- 1x1 -----------------+
    x ----------+- 1x1 -> 3x3 ----------+ concat
                +- 1x1 -> 5x5 ----------+
                +- max pool 3x3 -> 1x1 -+

Every convolution has batch norm behind it; the branches meet on the grid of the middle's activations, where the next
convolutions read them as they are. Left out: local response norms, auxiliary classifiers and dropout, which batch norm
replaces. Small images keep their size through the first convolution, 3x3 instead of 7x7 with stride 2.
Source: Szegedy et al., Going Deeper with Convolutions, arXiv 1409.4842 table 1.
"""

from __future__ import annotations

from torch import Tensor, nn

from bitlens.models.layers import Layers
from bitlens.quant import Spec

__all__ = ["GoogLeNet"]

# outputs of 1x1; 1x1 and 3x3; 1x1 and 5x5; 1x1 behind the pool
_STAGE3 = ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64))
_STAGE4 = (
    (192, 96, 208, 16, 48, 64),
    (160, 112, 224, 24, 64, 64),
    (128, 128, 256, 24, 64, 64),
    (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128),
)
_STAGE5 = ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128))


class GoogLeNet(nn.Module):
    """Three convolutions, nine inception modules in three stages, the average over the map, a classifier.

    Args:
        spec: how it is quantized.
        classes: outputs.
        width: the share of the paper's channels, each count rounded.
        small: the first convolution is for images of about 64x64; else the paper's, for 224x224.
    """

    def __init__(self, spec: Spec, classes: int = 25, width: float = 1.0, small: bool = True) -> None:
        super().__init__()
        layers = Layers(spec)
        first, middle, stem = (round(width * channels) for channels in (64, 64, 192))
        kernel, stride = (3, 1) if small else (7, 2)
        self.conv0 = layers.first(3, first, kernel, stride=stride, padding=kernel // 2)
        self.bn0 = layers.norm(first)
        self.pool0 = _halving()
        self.conv1 = layers.conv_norm(first, middle, 1)
        self.conv2 = layers.conv_norm(middle, stem, 3, padding=1)
        self.pool2 = _halving()
        self.stage3, inputs = _stage(layers, stem, _STAGE3, width)
        self.pool3 = _halving()
        self.stage4, inputs = _stage(layers, inputs, _STAGE4, width)
        self.pool4 = _halving()
        self.stage5, inputs = _stage(layers, inputs, _STAGE5, width)
        self.average, self.fc = layers.average(), layers.last(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores (N, classes) of images (N, 3, H, W), float32 in [0, 1]."""
        x = self.pool0(self.bn0(self.conv0(x)))
        x = self.pool2(self.conv2(self.conv1(x)))
        x = self.stage4(self.pool3(self.stage3(x)))
        x = self.stage5(self.pool4(x))
        scores: Tensor = self.fc(self.average(x))
        return scores


class _Inception(nn.Module):
    """Four branches of one map side by side; `channels` as in the tables above."""

    def __init__(self, layers: Layers, inputs: int, channels: list[int]) -> None:
        super().__init__()
        one, before3, three, before5, five, behind_pool = channels
        self.branch1 = layers.conv_norm(inputs, one, 1)
        self.branch3 = nn.Sequential(
            layers.conv_norm(inputs, before3, 1), layers.conv_norm(before3, three, 3, padding=1)
        )
        self.branch5 = nn.Sequential(
            layers.conv_norm(inputs, before5, 1), layers.conv_norm(before5, five, 5, padding=2)
        )
        self.branch_pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), layers.conv_norm(inputs, behind_pool, 1))
        self.concat = layers.concat()
        self.outputs = one + three + five + behind_pool

    def forward(self, x: Tensor) -> Tensor:
        branches = (self.branch1, self.branch3, self.branch5, self.branch_pool)
        joined: Tensor = self.concat(*(branch(x) for branch in branches))
        return joined


def _stage(layers: Layers, inputs: int, table: tuple[tuple[int, ...], ...], width: float) -> tuple[nn.Sequential, int]:
    """Modules one after the other, and the channels of the last."""
    modules = nn.Sequential()
    for row in table:
        module = _Inception(layers, inputs, [round(width * channels) for channels in row])
        modules.append(module)
        inputs = module.outputs
    return modules, inputs


def _halving() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, 2, 1)
