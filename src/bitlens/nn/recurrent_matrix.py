# SPDX-License-Identifier: Apache-2.0
"""A recurrent layer's matrix during one sequence: its weights are quantized once, its sums taken step by step.

    y = (W_x x + W_h h) * scale + bias        W, x, h integers

Shapes: N batch, T steps, I inputs, H hidden units, O outputs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

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

    def gradients(self, slopes: Tensor, xh: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """Return the gradients of weight, scale and bias; none of a scale that needs none.

        Args:
            slopes: gradient of the real outputs (..., O).
            xh: what was multiplied (..., I + H).
        """
        slopes, xh = slopes.flatten(0, -2), xh.flatten(0, -2)  # (rows, O), (rows, I + H)
        weight = (xh.t() @ slopes).t().contiguous()  # of the real weights; this order is faster for many outputs
        scale = None
        if self.scale.requires_grad:
            scale = (weight * self.weight).sum(1)  # (O,), the sum of slopes * sums of integers
            scale = scale if self.scale.dim() else scale.sum()
        return weight.mul_(self.scale[:, None] if self.scale.dim() else self.scale), scale, slopes.sum(0)

    def product(self, x: Tensor) -> Tensor:
        """Return the real outputs (M, O) of integers x (M, I): a `QuantLinear`'s values, with a leaner backward."""
        y: Tensor = _Product.apply(x, *self)  # type: ignore[no-untyped-call]
        return y


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight, scale, bias)
        return (x @ weight.t()).mul_(scale).add_(bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, *saved = ctx.saved_tensors
        matrix = Matrix(*saved)
        return grads[0] @ matrix.scaled(), *matrix.gradients(grads[0], x)


def _fits_float32(layer: QuantLinear) -> bool:
    """Whether every sum of a layer's integers is exact in float32 (on a GPU float32 may be TF32)."""
    if layer.weight_grid is None or layer.input_grid is None:
        return True
    largest = layer.in_features * max(-layer.weight_grid.lo, layer.weight_grid.hi) * layer.input_grid.hi
    return largest < EXACT_FLOAT32 and not layer.weight.is_cuda
