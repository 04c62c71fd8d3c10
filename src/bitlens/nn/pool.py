# SPDX-License-Identifier: Apache-2.0
"""Average over the whole map as an exact sum of integers.

y = sum of integers -> float32, * (scale / float32(H*W))
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bitlens.quant.base import Quantizer, is_exporting

__all__ = ["QuantGlobalAvgPool2d"]


class QuantGlobalAvgPool2d(nn.Module):
    """Mean over height and width of what the quantizer yields; compiled, a sum whose unit is the scale over H*W.

    Args:
        input_quantizer: as of `QuantLayer`.
    """

    def __init__(self, *, input_quantizer: nn.Module | None = None) -> None:
        super().__init__()
        self.input_quantizer = input_quantizer

    def forward(self, x: Tensor) -> Tensor:
        """Return the means (N, C) of maps (N, C, H, W), float32."""
        quantizer = self.input_quantizer
        if not isinstance(quantizer, Quantizer) or is_exporting():
            return (x if quantizer is None else quantizer(x)).mean((2, 3))
        integers, scale = quantizer.codes(x)
        total = integers.sum((2, 3), dtype=None if self.training else torch.float64)  # (N, C)
        return total.float() * (scale / (x.shape[2] * x.shape[3]))
