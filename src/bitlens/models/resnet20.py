# SPDX-License-Identifier: Apache-2.0
"""ResNet-20 for 32x32 images (CIFAR-10): three stages of three blocks, 16, 32 and 64 channels.

Source: He et al., Deep Residual Learning, arXiv 1512.03385 section 4.2 (n = 3), with activations in front of the convolutions
as in arXiv 1603.05027 and 1x1 convolutions in the two shortcuts that change shape; blocks as in `residual.py`.
"""

from __future__ import annotations

from torch import Tensor, nn

from bitlens.models.layers import Layers
from bitlens.models.residual import residual_stage
from bitlens.quant import Spec

__all__ = ["ResNet20"]


class ResNet20(nn.Module):
    """A convolution, nine residual blocks, the average over the map, a classifier.

    Args:
        spec: how it is quantized; sums and shortcuts have 8 bits.
        classes: outputs.
        width: channels of the first stage.
    """

    def __init__(self, spec: Spec, classes: int = 10, width: int = 16) -> None:
        super().__init__()
        layers = Layers(spec)
        self.conv0, self.bn0 = layers.first(3, width, 3, padding=1), layers.branch_norm(width)
        self.stage1 = residual_stage(layers, width, width, 1, (1, 1, 1))
        self.stage2 = residual_stage(layers, width, 2 * width, 2, (1, 1, 1))
        self.stage3 = residual_stage(layers, 2 * width, 4 * width, 2, (1, 1, 1))
        self.bn4, self.pool = layers.norm(4 * width), layers.average()
        self.fc = layers.last(4 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores (N, classes) of images (N, 3, H, W), float32 in [0, 1]; 32x32 in the paper."""
        x = self.bn0(self.conv0(x))
        x = self.stage3(self.stage2(self.stage1(x)))
        scores: Tensor = self.fc(self.pool(self.bn4(x)))
        return scores
