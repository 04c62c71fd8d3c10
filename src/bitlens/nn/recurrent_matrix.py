# SPDX-License-Identifier: Apache-2.0
"""A recurrent layer's matrix during one sequence: its weights are quantized once, its sums taken step by step.

    y = (W_x x + W_h h) * scale + bias        W, x, h integers

Shapes: N batch, T steps, I inputs, H hidden units, O outputs.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from bitlens.nn.layer import EXACT_FLOAT32
from bitlens.nn.linear import QuantLinear
from bitlens.quant.base import FixedScale

__all__ = ["Matrix"]


class Matrix(NamedTuple):
    """One matrix of a sequence: sums of integers, then * scale + bias.

    Args:
        weight: integers (O, I + H), float32; float64 where sums would leave float32.
        scale: () or (O,), float32.
        bias: (O,), float32.
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor

    @classmethod
    def of(cls, layer: QuantLinear) -> Matrix:
        """Quantize a layer's weights."""
        assert layer.bias is not None
        weight, scale = layer._weight_codes()
        if scale is None:
            scale = weight.new_ones(())
        if isinstance(layer.input_quantizer, FixedScale):
            scale = scale * layer.input_quantizer.scale
        if not layer.training and not _fits_float32(layer):
            weight = weight.double()
        return cls(weight, scale, layer.bias)

    def inputs(self, x: Tensor) -> Tensor:
        """Return the part of the sums that comes from inputs (T, N, I), for all steps: (T, N, O)."""
        steps, batch, size = x.shape
        return (x.reshape(-1, size) @ self.weight[:, :size].t()).view(steps, batch, -1)

    def outputs(self, total: Tensor, h: Tensor) -> Tensor:
        """Return the real outputs (N, O) of one step from its input part (N, O) and h (N, H)."""
        total = torch.addmm(total, h, self.weight[:, -h.shape[1] :].t())
        return total.float().mul_(self.scale).add_(self.bias)

    def scaled(self) -> Tensor:
        """Return real weights (O, I + H)."""
        return self.weight * (self.scale[:, None] if self.scale.dim() else self.scale)

    def gradients(self, slopes: Tensor, xh: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients of weight, scale and bias.

        Args:
            slopes: gradient of the real outputs (T, N, O).
            xh: what was multiplied, [x, h] (T, N, I + H).
        """
        slopes = slopes.flatten(0, 1)  # (T N, O)
        weight = slopes.t() @ xh.flatten(0, 1)  # of the real weights
        scale = (weight * self.weight).sum(1)  # (O,), the sum of slopes * sums of integers
        return (
            weight * (self.scale[:, None] if self.scale.dim() else self.scale),
            scale if self.scale.dim() else scale.sum(),
            slopes.sum(0),
        )


def _fits_float32(layer: QuantLinear) -> bool:
    """Whether every sum of a layer's integers is exact in float32 (on a GPU float32 may be TF32)."""
    if layer.weight_grid is None or layer.input_grid is None:
        return True
    largest = layer.in_features * max(-layer.weight_grid.lo, layer.weight_grid.hi) * layer.input_grid.hi
    return largest < EXACT_FLOAT32 and not layer.weight.is_cuda
