# SPDX-License-Identifier: Apache-2.0
"""MobileNet: thirteen pairs of a 3x3 convolution within each channel and a 1x1 convolution across the channels.

    x -> [quantizer] 3x3 depthwise -> bn -> [quantizer] 1x1 pointwise -> bn -> next pair

Both halves of a pair have the middle's bits. A depthwise layer is a convolution of as many groups as channels: its sums have
nine products only, and take few values at 1 or 2 bits. One scale serves all its channels, so that those with small weights
fall on the inner levels; `weight=lsq_channel` learns a scale for each.
Small images keep their size through the first convolution, which has stride 2 in the paper.
Source: Howard et al., MobileNets, arXiv 1704.04861 table 1.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from bitlens.models.layers import Layers
from bitlens.quant import Spec

__all__ = ["MobileNet"]

_FIRST = 32
# outputs and stride of each pair
_PAIRS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))


class MobileNet(nn.Module):
    """A convolution, thirteen pairs, the average over the map, a classifier.

    Args:
        spec: how it is quantized.
        classes: outputs.
        width: the share of the paper's channels, each count rounded.
        small: the first convolution is for images of about 32x32; else the paper's, for 224x224.
    """

    def __init__(self, spec: Spec, classes: int = 1000, width: float = 1.0, small: bool = False) -> None:
        super().__init__()
        layers = Layers(spec)
        inputs = round(width * _FIRST)
        self.conv0 = layers.first(3, inputs, 3, stride=1 if small else 2, padding=1)
        self.bn0 = layers.norm(inputs)
        self.pairs = nn.Sequential()
        for channels, stride in _PAIRS:
            outputs = round(width * channels)
            self.pairs.append(_pair(layers, inputs, outputs, stride))
            inputs = outputs
        self.average, self.fc = layers.average(), layers.last(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores (N, classes) of images (N, 3, H, W), float32 in [0, 1]."""
        x = self.pairs(self.bn0(self.conv0(x)))
        scores: Tensor = self.fc(self.average(x))
        return scores


def _pair(layers: Layers, inputs: int, outputs: int, stride: int) -> nn.Sequential:
    depthwise = layers.conv_norm(inputs, inputs, 3, stride=stride, padding=1, groups=inputs)
    return nn.Sequential(OrderedDict(depthwise=depthwise, pointwise=layers.conv_norm(inputs, outputs, 1)))
