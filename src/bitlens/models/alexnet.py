# SPDX-License-Identifier: Apache-2.0
"""AlexNet as DoReFa-Net has it, for 224x224 images: batch norm in place of response norms, no dropout.

    224 -> conv0 12x12/4 -> 54 -> conv1 5x5 -> pool -> 27 -> conv2 3x3 -> pool -> 14
     14 -> conv3 3x3 -> conv4 3x3 -> pool -> 6 -> conv5 6x6 -> 1 -> conv6 1x1 -> classifier

conv1, conv3 and conv4 work in two groups; conv5 and conv6 are the two fully connected layers. Pooling stands between batch
norm and bound, as in `dorefa_svhn.py`. One thing differs from the authors' net: conv0 has batch norm in place of a bias.
Source: arXiv 1606.06160 section 3.2 and the authors' code.
"""

from __future__ import annotations

from torch import Tensor, nn

from bitlens.models.layers import Layers
from bitlens.quant import Spec

__all__ = ["AlexNet"]

_CHANNELS = (96, 256, 384, 384, 256, 4096, 4096)
_GROUPS = 2


class AlexNet(nn.Module):
    """Seven convolutions, the last two over the whole map, and a classifier.

    Args:
        spec: how it is quantized.
        classes: outputs.
        width: the share of the paper's channels, each count rounded to an even number.
    """

    def __init__(self, spec: Spec, classes: int = 1000, width: float = 1.0) -> None:
        super().__init__()
        c0, c1, c2, c3, c4, c5, c6 = (_GROUPS * round(width * c / _GROUPS) for c in _CHANNELS)
        layers = Layers(spec, eps=1e-4)
        self.conv0, self.bn0 = layers.first(3, c0, 12, stride=4), layers.norm(c0)  # 224 -> 54
        self.conv1, self.bn1 = layers.conv(c0, c1, 5, padding=2, groups=_GROUPS), layers.norm(c1)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)  # -> 27, padded at its end alone
        self.conv2, self.bn2 = layers.conv(c1, c2, 3, padding=1), layers.norm(c2)
        self.pool2 = nn.MaxPool2d(3, 2, 1)  # -> 14
        self.conv3, self.bn3 = layers.conv(c2, c3, 3, padding=1, groups=_GROUPS), layers.norm(c3)
        self.conv4, self.bn4 = layers.conv(c3, c4, 3, padding=1, groups=_GROUPS), layers.norm(c4)
        self.pool4 = nn.MaxPool2d(3, 2)  # -> 6
        self.conv5, self.bn5 = layers.conv(c4, c5, 6), layers.norm(c5)  # -> 1
        self.conv6, self.bn6 = layers.conv(c5, c6, 1), layers.norm(c6)
        self.flatten = nn.Flatten()
        self.fc = layers.last(c6, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores (N, classes) of images (N, 3, 224, 224), float32 in [0, 1]."""
        x = self.bn0(self.conv0(x))
        x = self.pool1(self.bn1(self.conv1(x)))
        x = self.pool2(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        x = self.pool4(self.bn4(self.conv4(x)))
        x = self.bn5(self.conv5(x))
        x = self.bn6(self.conv6(x))
        scores: Tensor = self.fc(self.flatten(x))
        return scores
