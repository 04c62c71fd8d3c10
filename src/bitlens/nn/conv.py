# SPDX-License-Identifier: Apache-2.0
"""Convolution on integers: torch's layer plus quantizers."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from bitlens.nn.layer import QuantLayer
from bitlens.quant.base import Quantizer
from bitlens.quant.uniform import AccumulatorBias

__all__ = ["QuantConv2d"]


class QuantConv2d(QuantLayer, nn.Conv2d):
    """`torch.nn.Conv2d` that convolves integers and multiplies by the scales once.

    Args:
        in_channels, out_channels, kernel_size: as in `torch.nn.Conv2d`.
        input_quantizer, weight_quantizer, gradient_quantizer, bias_quantizer: see `QuantLayer`.
        options: stride, padding (zeros), dilation, groups, bias, as in `torch.nn.Conv2d`.

    Raises:
        ValueError: padding_mode is not "zeros".
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        *,
        input_quantizer: nn.Module | None = None,
        weight_quantizer: Quantizer | None = None,
        gradient_quantizer: nn.Module | None = None,
        bias_quantizer: AccumulatorBias | None = None,
        **options: Any,
    ) -> None:
        nn.Conv2d.__init__(self, in_channels, out_channels, kernel_size, **options)
        if self.padding_mode != "zeros":
            raise ValueError(f"QuantConv2d: padding_mode must be zeros, not {self.padding_mode}")
        self._take(input_quantizer, weight_quantizer, gradient_quantizer, bias_quantizer)

    def _product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)
