# SPDX-License-Identifier: Apache-2.0
"""DoReFa-Net's SVHN net in sizes A, B, C, D, for 40x40 RGB images.

Pooling stands before the bound, so that cabs is exact too. Three things differ from the paper, which trains 200 epochs:
conv0 has batch norm in place of a bias, batch norms start as of `Layers.norm`, so that what enters [0, 1] begins inside
(CIFAR-10, size C, w1a2, mean loss of steps 151 to 300: 1.545 against 1.627 with slope and intercept 1/2, by
benchmarks/first_steps.py), and the dropout before conv6 is left out (with a dozen epochs these nets underfit).
Source: arXiv 1606.06160 section 3.1 and the authors' code.
"""

from __future__ import annotations

from torch import Tensor, nn

from bitlens.models.layers import Layers
from bitlens.quant import Spec

__all__ = ["SIZES", "DoReFaSVHN"]

SIZES = {"A": 8, "B": 4, "C": 2, "D": 1}
_CHANNELS = (6, 8, 8, 16, 16, 16, 64)  # of size D; B has 4 times as many


class DoReFaSVHN(nn.Module):
    """Seven convolutions and a classifier.

    Args:
        spec: how it is quantized.
        size: "A", "B", "C" or "D".
        classes: outputs.

    Raises:
        ValueError: the size is none of these.
    """

    def __init__(self, spec: Spec, size: str = "B", classes: int = 10) -> None:
        super().__init__()
        if size not in SIZES:
            raise ValueError(f"DoReFaSVHN: size must be one of {', '.join(SIZES)}, not {size}")
        c0, c1, c2, c3, c4, c5, c6 = (SIZES[size] * c for c in _CHANNELS)
        layers = Layers(spec, eps=1e-4)
        self.conv0, self.bn0 = layers.first(3, c0, 5), layers.norm(c0)  # 40 -> 36
        self.pool0 = nn.MaxPool2d(2)  # -> 18
        self.conv1, self.bn1 = layers.conv(c0, c1, 3, padding=1), layers.norm(c1)
        self.conv2, self.bn2 = layers.conv(c1, c2, 3, padding=1), layers.norm(c2)
        self.pool2 = nn.MaxPool2d(2)  # -> 9
        self.conv3, self.bn3 = layers.conv(c2, c3, 3), layers.norm(c3)  # -> 7
        self.conv4, self.bn4 = layers.conv(c3, c4, 3, padding=1), layers.norm(c4)
        self.conv5, self.bn5 = layers.conv(c4, c5, 3), layers.norm(c5)  # -> 5
        self.conv6, self.bn6 = layers.conv(c5, c6, 5), layers.norm(c6)  # -> 1
        self.flatten = nn.Flatten()
        self.fc = layers.last(c6, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores (N, classes) of images (N, 3, 40, 40), float32 in [0, 1]."""
        x = self.pool0(self.bn0(self.conv0(x)))
        x = self.bn1(self.conv1(x))
        x = self.pool2(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        x = self.bn4(self.conv4(x))
        x = self.bn5(self.conv5(x))
        x = self.bn6(self.conv6(x))
        scores: Tensor = self.fc(self.flatten(x))
        return scores
