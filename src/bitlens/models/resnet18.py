# SPDX-License-Identifier: Apache-2.0
"""ResNet-18 for ImageNet: a stem, four stages of two residual blocks, 64 to 512 channels.

    224 -> conv0 7x7/2 -> 112 -> pool -> 56 -> stage1 -> 56 -> stage2 -> 28 -> stage3 -> 14 -> stage4 -> 7 -> average, classifier

Source: He et al., Deep Residual Learning, arXiv 1512.03385 table 1, with activations in front of the convolutions as in
arXiv 1603.05027 and 1x1 convolutions in the three shortcuts that change shape; blocks as in `residual.py`.
"""

from __future__ import annotations

from torch import Tensor, nn

from bitlens.models.layers import Layers
from bitlens.models.residual import residual_stage
from bitlens.quant import Spec

__all__ = ["ResNet18"]


class ResNet18(nn.Module):
    """A convolution and a pool, eight residual blocks, the average over the map, a classifier.

    Args:
        spec: how it is quantized; sums and shortcuts have 8 bits.
        classes: outputs.
        width: channels of the first stage.
    """

    def __init__(self, spec: Spec, classes: int = 1000, width: int = 64) -> None:
        super().__init__()
        layers = Layers(spec)
        self.conv0 = layers.first(3, width, 7, stride=2, padding=3)
        self.bn0, self.pool0 = layers.branch_norm(width), layers.stream_pool(3, 2, 1)
        self.stage1 = residual_stage(layers, width, width, 1, (1, 1))
        self.stage2 = residual_stage(layers, width, 2 * width, 2, (1, 1))
        self.stage3 = residual_stage(layers, 2 * width, 4 * width, 2, (1, 1))
        self.stage4 = residual_stage(layers, 4 * width, 8 * width, 2, (1, 1))
        self.bn5, self.pool = layers.norm(8 * width), layers.average()
        self.fc = layers.last(8 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores (N, classes) of images (N, 3, H, W), float32 in [0, 1]; 224x224 in the paper."""
        x = self.pool0(self.bn0(self.conv0(x)))
        x = self.stage4(self.stage3(self.stage2(self.stage1(x))))
        scores: Tensor = self.fc(self.pool(self.bn5(x)))
        return scores
