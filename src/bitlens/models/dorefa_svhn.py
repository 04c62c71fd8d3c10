# SPDX-License-Identifier: Apache-2.0
"""DoReFa-Net's SVHN net in sizes A, B, C, D, for 40x40 RGB images.

Pooling stands before the bound, so that cabs is exact too. Three things differ from the paper, which trains 200 epochs:
conv0 has batch norm in place of a bias, batch norm starts with slope and intercept 1/2, so that what enters the bound
[0, 1] begins in its middle (1-2-32, CIFAR-10, 400 steps: 0.489 against 0.426 without either), and the dropout before
conv6 is left out (with a dozen epochs these nets underfit).
Source: arXiv 1606.06160 section 3.1 and the authors' code.
"""

from __future__ import annotations

from torch import Tensor, nn

from bitlens.nn import BatchNorm2d, QuantConv2d, QuantLinear
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
        self.conv0 = QuantConv2d(
            3,
            c0,
            5,
            bias=False,
            input_quantizer=spec.input_quantizer(),
            weight_quantizer=spec.end_weight_quantizer(spec.first),
            gradient_quantizer=spec.gradient_quantizer(spec.first, 0),
        )  # 40 -> 36
        self.bn0, self.pool0 = BatchNorm2d(c0, eps=1e-4), nn.MaxPool2d(2)  # -> 18

        def middle(inputs: int, outputs: int, kernel: int, padding: int, seed: int) -> QuantConv2d:
            return QuantConv2d(
                inputs,
                outputs,
                kernel,
                padding=padding,
                bias=False,
                input_quantizer=spec.activation_quantizer(),
                weight_quantizer=spec.weight_quantizer(),
                gradient_quantizer=spec.gradient_quantizer(spec.middle, seed),
            )

        self.conv1, self.bn1 = middle(c0, c1, 3, 1, 1), BatchNorm2d(c1, eps=1e-4)
        self.conv2, self.bn2 = middle(c1, c2, 3, 1, 2), BatchNorm2d(c2, eps=1e-4)
        self.pool2 = nn.MaxPool2d(2)  # -> 9
        self.conv3, self.bn3 = middle(c2, c3, 3, 0, 3), BatchNorm2d(c3, eps=1e-4)  # -> 7
        self.conv4, self.bn4 = middle(c3, c4, 3, 1, 4), BatchNorm2d(c4, eps=1e-4)
        self.conv5, self.bn5 = middle(c4, c5, 3, 0, 5), BatchNorm2d(c5, eps=1e-4)  # -> 5
        self.conv6, self.bn6 = middle(c5, c6, 5, 0, 6), BatchNorm2d(c6, eps=1e-4)  # -> 1
        self.flatten = nn.Flatten()
        self.fc = QuantLinear(
            c6,
            classes,
            input_quantizer=spec.activation_quantizer(spec.last.activation),
            weight_quantizer=spec.end_weight_quantizer(spec.last),
            gradient_quantizer=spec.gradient_quantizer(spec.last, 7),
            bias_quantizer=spec.bias_quantizer(),
        )
        for layer in self.modules():
            if isinstance(layer, BatchNorm2d):
                nn.init.constant_(layer.weight, 0.5)
                nn.init.constant_(layer.bias, 0.5)

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
