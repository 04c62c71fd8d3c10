# SPDX-License-Identifier: Apache-2.0
"""A small net for digits of 8x8 or 28x28: two low-bit convolutions between 8-bit ends."""

from __future__ import annotations

from torch import Tensor, nn

from bitlens.models.layers import Layers
from bitlens.nn import BatchNorm2d
from bitlens.quant import Spec

__all__ = ["DigitsNet"]


class DigitsNet(nn.Module):
    """conv-BN, conv-BN-pool, conv-BN-pool, linear.

    Args:
        spec: how it is quantized.
        side: height and width of the images, a multiple of 4.
        classes: outputs.

    Raises:
        ValueError: the side is no multiple of 4.
    """

    def __init__(self, spec: Spec, side: int = 8, classes: int = 10) -> None:
        super().__init__()
        if side < 4 or side % 4:
            raise ValueError(f"DigitsNet: side must be a positive multiple of 4, not {side}")
        layers = Layers(spec)
        self.conv0, self.bn0 = layers.first(1, 16, 3, padding=1), BatchNorm2d(16)
        self.conv1, self.bn1 = layers.conv(16, 32, 3, padding=1), BatchNorm2d(32)
        self.pool1 = nn.MaxPool2d(2)  # -> side/2
        self.conv2, self.bn2 = layers.conv(32, 64, 3, padding=1), BatchNorm2d(64)
        self.pool2 = nn.MaxPool2d(2)  # -> side/4
        self.flatten = nn.Flatten()
        self.fc = layers.last(64 * (side // 4) ** 2, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores (N, classes) of images (N, 1, side, side), float32 in [0, 1]."""
        x = self.bn0(self.conv0(x))
        x = self.pool1(self.bn1(self.conv1(x)))
        x = self.pool2(self.bn2(self.conv2(x)))
        scores: Tensor = self.fc(self.flatten(x))
        return scores
