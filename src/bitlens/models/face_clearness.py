# SPDX-License-Identifier: Apache-2.0
"""How clear a grey face crop is: low-bit convolutions on small patches, averaged over the crop.

    112 -> 5x5/2 56 -> 28 -> 14 -> 14 -> mean -> (sharpness, likeness)

Blur, noise and block edges show in every patch, so the net has no deep view of the face; the mean over many patches regains
the precision that two bits lack.
"""

from __future__ import annotations

from torch import Tensor, nn

from bitlens.models.layers import Layers
from bitlens.quant import Spec

__all__ = ["FaceClearness"]


class FaceClearness(nn.Module):
    """A convolution, three low-bit convolutions, the average over the map, a linear layer of two outputs.

    Args:
        spec: how it is quantized.
        width: channels of the first layer. It has many for its size: what two bits lose there is lost.
    """

    def __init__(self, spec: Spec, width: int = 24) -> None:
        super().__init__()
        layers = Layers(spec)
        second, third, fourth = (width * share // 3 for share in (4, 6, 8))
        self.conv0, self.bn0 = layers.first(1, width, 5, stride=2, padding=2), layers.norm(width)
        self.block1 = layers.conv_norm(width, second, 3, stride=2, padding=1)
        self.block2 = layers.conv_norm(second, third, 3, stride=2, padding=1)
        self.block3 = layers.conv_norm(third, fourth, 3, padding=1)
        self.average, self.fc = layers.average(), layers.last(fourth, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return (sharpness, likeness), (N, 2), of levelled crops (N, 1, H, W), float32 in [0, 1]."""
        x = self.block1(self.bn0(self.conv0(x)))
        x = self.block3(self.block2(x))
        scores: Tensor = self.fc(self.average(x))
        return scores
