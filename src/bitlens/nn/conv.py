# SPDX-License-Identifier: Apache-2.0
"""Convolutions on integers: torch's layers plus quantizers."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from bitlens.nn.layer import QuantLayer
from bitlens.quant.base import QuantError, Quantizer
from bitlens.quant.uniform import AccumulatorBias

__all__ = ["QuantConv1d", "QuantConv2d"]


class _QuantConv(QuantLayer):
    """What both have in common.

    Args:
        in_channels, out_channels, kernel_size: as in torch's layer.
        input_quantizer, weight_quantizer, gradient_quantizer, bias_quantizer: see `QuantLayer`.
        options: stride, padding (zeros), dilation, groups, bias, as in torch's layer.

    Raises:
        ValueError: padding_mode is not "zeros".
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        *,
        input_quantizer: nn.Module | None = None,
        weight_quantizer: Quantizer | None = None,
        gradient_quantizer: nn.Module | None = None,
        bias_quantizer: AccumulatorBias | None = None,
        **options: Any,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, **options)
        mode = options.get("padding_mode", "zeros")
        if mode != "zeros":
            raise ValueError(f"{type(self).__name__}: padding_mode must be zeros, not {mode}")
        self._take(input_quantizer, weight_quantizer, gradient_quantizer, bias_quantizer)

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's real output, float32.

        Raises:
            QuantError: the input is no batch.
        """
        if x.dim() != self.weight.dim():
            wanted = "(N, C, H, W)" if self.weight.dim() == 4 else "(N, C, L)"
            raise QuantError(f"{type(self).__name__}: input must be {wanted}, not of {x.dim()} dimensions")
        return super().forward(x)

    def _channels(self, values: Tensor) -> Tensor:
        return values.reshape(-1, *[1] * (self.weight.dim() - 2)) if values.dim() else values


class QuantConv1d(_QuantConv, nn.Conv1d):
    """`torch.nn.Conv1d` that convolves integers (N, C, L) and multiplies by the scales once; arguments as of every one."""

    def _product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv1d(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)


class QuantConv2d(_QuantConv, nn.Conv2d):
    """`torch.nn.Conv2d` that convolves integers (N, C, H, W) and multiplies by the scales once; arguments as of every one."""

    def _product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)
