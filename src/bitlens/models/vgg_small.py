# SPDX-License-Identifier: Apache-2.0
"""VGG-small for 32x32 images (CIFAR-10): three pairs of 3x3 convolutions, 128, 256 and 512 channels, one classifier.

    32 -> conv0 -> conv1 -> pool -> 16 -> conv2 -> conv3 -> pool -> 8 -> conv4 -> conv5 -> pool -> 4 -> classifier

Source: Cai et al., HWGQ, arXiv 1702.00953, and Zhang et al., LQ-Nets, arXiv 1807.10029, whose tables compare methods on it:
the convolutions of BNN (Courbariaux et al., arXiv 1602.02830) and one fully connected layer in place of its three.
"""

from __future__ import annotations

from torch import Tensor, nn

from bitlens.models.layers import Layers
from bitlens.quant import Spec

__all__ = ["VGGSmall"]


class VGGSmall(nn.Module):
    """Six convolutions, a pool behind every second, and a classifier.

    Args:
        spec: how it is quantized.
        classes: outputs.
        width: channels of the first pair; 2 and 4 times as many in the others.
    """

    def __init__(self, spec: Spec, classes: int = 10, width: int = 128) -> None:
        super().__init__()
        c0, c2, c4 = width, 2 * width, 4 * width
        layers = Layers(spec)
        self.conv0, self.bn0 = layers.first(3, c0, 3, padding=1), layers.norm(c0)
        self.conv1, self.bn1 = layers.conv(c0, c0, 3, padding=1), layers.norm(c0)
        self.pool1 = nn.MaxPool2d(2)  # 32 -> 16
        self.conv2, self.bn2 = layers.conv(c0, c2, 3, padding=1), layers.norm(c2)
        self.conv3, self.bn3 = layers.conv(c2, c2, 3, padding=1), layers.norm(c2)
        self.pool3 = nn.MaxPool2d(2)  # -> 8
        self.conv4, self.bn4 = layers.conv(c2, c4, 3, padding=1), layers.norm(c4)
        self.conv5, self.bn5 = layers.conv(c4, c4, 3, padding=1), layers.norm(c4)
        self.pool5 = nn.MaxPool2d(2)  # -> 4
        self.flatten = nn.Flatten()
        self.fc = layers.last(c4 * 4 * 4, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores (N, classes) of images (N, 3, 32, 32), float32 in [0, 1]."""
        x = self.bn0(self.conv0(x))
        x = self.pool1(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        x = self.pool3(self.bn3(self.conv3(x)))
        x = self.bn4(self.conv4(x))
        x = self.pool5(self.bn5(self.conv5(x)))
        scores: Tensor = self.fc(self.flatten(x))
        return scores
