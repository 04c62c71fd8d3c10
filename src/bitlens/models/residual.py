# SPDX-License-Identifier: Apache-2.0
"""The residual block of low-bit nets: activations in front of the convolutions, a shortcut of 8 bits with both signs.

    x -> bn1 -> [quantizer] conv1 -> bn2 -> [quantizer] conv2 -> bn3 -> [8 bits] + [8 bits] x or bn(shortcut conv(x))

A batch norm stands directly before each low-bit quantizer, so each channel learns its own thresholds and they cost nothing
once compiled. bn3 is what the float form (He et al., arXiv 1603.05027) lacks: integers join only where their range is
known. It starts with intercept 0, so that a chain of blocks keeps its mean.
"""

from __future__ import annotations

from torch import Tensor, nn

from bitlens.models.layers import Layers

__all__ = ["ResidualBlock", "residual_stage"]


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut.

    Args:
        layers: makes the layers.
        inputs, outputs: channels.
        stride: of the first convolution; the shortcut has a 1x1 convolution where stride or channels change.
        dilation: of both convolutions.
    """

    def __init__(self, layers: Layers, inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.bn1 = layers.norm(inputs)
        self.conv1 = layers.conv(inputs, outputs, 3, stride=stride, padding=dilation, dilation=dilation)
        self.bn2 = layers.norm(outputs)
        self.conv2 = layers.conv(outputs, outputs, 3, padding=dilation, dilation=dilation)
        self.bn3 = layers.branch_norm(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            conv = layers.shortcut(inputs, outputs, stride)
            self.shortcut = nn.Sequential(conv, layers.branch_norm(outputs))
        self.add = layers.add()

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, H/stride, W/stride) of a stream (N, inputs, H, W)."""
        y = self.conv1(self.bn1(x))
        y = self.bn3(self.conv2(self.bn2(y)))
        joined: Tensor = self.add(y, self.shortcut(x))
        return joined


def residual_stage(layers: Layers, inputs: int, outputs: int, stride: int, dilations: tuple[int, ...]) -> nn.Sequential:
    """Return blocks one behind the other, one for each dilation; the first changes stride and channels."""
    first = ResidualBlock(layers, inputs, outputs, stride, dilations[0])
    return nn.Sequential(first, *(ResidualBlock(layers, outputs, outputs, 1, dilation) for dilation in dilations[1:]))
