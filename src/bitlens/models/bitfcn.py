# SPDX-License-Identifier: Apache-2.0
"""Bit fully convolutional network: a class for every pixel, for images of any size.

    1/1 image -> 1/2 -> 1/4 -> 1/8 -> dilated context          encoder: residual blocks
    1/1 classes <- 1/2 <- 1/4 <-+                              decoder: zero insertion + 3x3 convolution, skip joins

Zero insertion is the only operator beside those of a residual classifier: the classes, too, reach full size by it. Classes
at half size, repeated, would save a fifteenth of the products but cannot exceed a mean IoU of 92 % on CamVid (poles: 69 %).
The context ends at 1/8, with dilation instead of 1/16, so that thin things survive two bits.
Source: arXiv 1612.00212 (bits, bit-width decay, zero insertion); the layers are ours, its net is not public.
"""

from __future__ import annotations

from torch import Tensor, nn

from bitlens.models.layers import Layers
from bitlens.models.residual import ResidualBlock, residual_stage
from bitlens.nn import crop_like
from bitlens.quant import Spec

__all__ = ["BitFCN"]


class BitFCN(nn.Module):
    """Encoder to 1/8, decoder back to full size with two skip joins.

    Args:
        spec: how it is quantized; sums and shortcuts have 8 bits.
        classes: outputs of a pixel.
        width: channels at 1/2; 2 and 4 times as many at 1/4 and 1/8.
    """

    def __init__(self, spec: Spec, classes: int = 11, width: int = 32) -> None:
        super().__init__()
        layers = Layers(spec)
        self.conv0 = layers.first(3, width, 3, stride=2, padding=1)
        self.bn0 = layers.branch_norm(width)
        self.stage2 = ResidualBlock(layers, width, width)
        self.stage4 = residual_stage(layers, width, 2 * width, 2, dilations=(1, 1))
        self.stage8 = residual_stage(layers, 2 * width, 4 * width, 2, dilations=(1, 2, 4))
        self.up4 = _Up(layers, 4 * width, 2 * width)
        self.up2 = _Up(layers, 2 * width, width)
        self.bn, self.score = layers.norm(width), layers.last_up(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores (N, classes, H, W) of images (N, 3, H, W), float32 in [0, 1]; any H and W."""
        half: Tensor = self.stage2(self.bn0(self.conv0(x)))
        quarter: Tensor = self.stage4(half)
        y = self.up4(self.stage8(quarter), quarter)
        y = self.up2(y, half)
        return crop_like(self.score(self.bn(y)), x)


class _Up(nn.Module):
    """Twice the size, joined with the skip of that size, then a block that mixes the two."""

    def __init__(self, layers: Layers, inputs: int, outputs: int) -> None:
        super().__init__()
        self.bn1, self.conv = layers.norm(inputs), layers.up(inputs, outputs)
        self.bn2 = layers.branch_norm(outputs)
        self.add = layers.add()
        self.block = ResidualBlock(layers, outputs, outputs)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        y = crop_like(self.bn2(self.conv(self.bn1(x))), skip)
        mixed: Tensor = self.block(self.add(y, skip))
        return mixed
