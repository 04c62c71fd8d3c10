# SPDX-License-Identifier: Apache-2.0
"""Activations behind a learned clip.

Source: Choi et al., PACT: Parameterized Clipping Activation for Quantized Neural Networks, arXiv 1805.06085.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bitlens.core.grid import Grid
from bitlens.quant.base import checked_bits, straight_through
from bitlens.quant.learned import LearnedScale

__all__ = ["PACTActivation", "pact_activation"]

_LEAST = 1e-3


class PACTActivation(LearnedScale):
    """Activations of k bits in [0, alpha], alpha learned.

    Forward:  scale = alpha/n with n = 2^k - 1; integer = clip(floor(x/scale + 1/2), 0, n).
    Gradient: d(integer * scale)/dx = 1 for 0 < x < alpha, else 0; d/dalpha = 1 for x >= alpha, else 0.
    Grid: unsigned k, {0, ..., n}. Value at zero: 0. Ties: half up. alpha below 0.001 counts as 0.001, with the same
    gradient, so that it can come back.
    Source: arXiv 1805.06085 eq. 1 to 3. alpha starts at 1, the bound of DoReFa's activations: our nets' batch norms
    aim at [0, 1]. The paper's decay of alpha is left to the optimizer.

    Args:
        bits: 1 to 16.
        shift: move the scale to a power of two, `power_of_two`; alpha is then n times that.

    Raises:
        QuantError: bits is not 1 to 16.
    """

    def __init__(self, bits: int, shift: bool = False) -> None:
        super().__init__(checked_bits("PACTActivation", bits, 1, 16), shift)
        self.alpha = nn.Parameter(torch.ones(()))

    @property
    def grid(self) -> Grid:
        """Unsigned k."""
        return Grid.unsigned(self.bits)

    def learned(self) -> Tensor:
        """alpha/n."""
        least = self.alpha.detach().clamp(min=_LEAST)
        return straight_through(self.alpha, least, torch.ones_like(least)) / self.grid.hi

    def codes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Quantize activations; see the class."""
        scale = self.scale
        integers: Tensor = _Clipped.apply(x, scale, self.grid.hi)  # type: ignore[no-untyped-call]
        return integers, scale


class _Clipped(torch.autograd.Function):
    """floor(clip(x/scale, 0, n) + 1/2), whose gradients make integers * scale follow the class's formula."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, n: int) -> Tensor:
        ctx.save_for_backward(x, scale)
        ctx.n = n
        return x.div(scale).clamp_(0, n).add_(0.5).floor_()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        x, scale = ctx.saved_tensors
        grad = torch.ops.aten.hardtanh_backward(grads[0], x, 0.0, float(ctx.n * scale)).div_(scale)
        # below alpha the value does not follow the scale: what integers * scale gains by it is taken back here
        integers = x.div(scale).clamp_(0, ctx.n).add_(0.5).floor_()
        inside = x < ctx.n * scale
        return grad, -(grads[0] * integers * inside).sum() / scale, None


def pact_activation(x: Tensor, bits: int, alpha: float) -> Tensor:
    """Return fake-quantized activations, integers * scale; see `PACTActivation`."""
    quantizer = PACTActivation(bits).to(x.device)
    quantizer.alpha.data.fill_(alpha)
    out: Tensor = quantizer(x)
    return out
