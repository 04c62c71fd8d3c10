# SPDX-License-Identifier: Apache-2.0
"""Which way a face looks: yaw, pitch and roll from a grey crop of 64x64.

    64 -> 3x3/2 32 -> 16 -> 16 -> 8 -> 4 -> linear (yaw, pitch, roll)

The last map is flattened, not averaged: where eyes, nose and mouth lie is the answer.
"""

from __future__ import annotations

from torch import Tensor, nn

from bitlens.models.layers import Layers
from bitlens.quant import Spec

__all__ = ["FacePose"]

_SIDE = 64


class FacePose(nn.Module):
    """A convolution, four low-bit convolutions, a linear layer of three outputs.

    Args:
        spec: how it is quantized.
        width: channels of the first layer.
    """

    def __init__(self, spec: Spec, width: int = 24) -> None:
        super().__init__()
        layers = Layers(spec)
        self.conv0, self.bn0 = layers.first(1, width, 3, stride=2, padding=1), layers.norm(width)
        self.block1 = layers.conv_norm(width, 2 * width, 3, stride=2, padding=1)
        self.block2 = layers.conv_norm(2 * width, 2 * width, 3, padding=1)
        self.block3 = layers.conv_norm(2 * width, 3 * width, 3, stride=2, padding=1)
        self.block4 = layers.conv_norm(3 * width, 3 * width, 3, stride=2, padding=1)
        self.flatten = nn.Flatten()
        self.fc = layers.last(3 * width * (_SIDE // 16) ** 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return (yaw, pitch, roll), (N, 3), in units of 30 degrees, of levelled crops (N, 1, 64, 64), float32 in [0, 1]."""
        x = self.block1(self.bn0(self.conv0(x)))
        x = self.block4(self.block3(self.block2(x)))
        angles: Tensor = self.fc(self.flatten(x))
        return angles
