# SPDX-License-Identifier: Apache-2.0
"""Learned step sizes of weights and activations.

The parameter is the reach, n * step, so that an optimizer with steps of absolute size (Adam) cannot throw a step of
1/255 below zero; the gradient is scaled so that SGD moves the step as published.

Source: Esser et al., Learned Step Size Quantization, arXiv 1902.08153.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bitlens.core.grid import Grid
from bitlens.quant.base import QuantError, Quantizer, checked_bits, per_channel, refuse_empty, ste_round
from bitlens.quant.learned import LearnedScale

__all__ = ["LSQActivation", "LSQWeight"]

_LEAST = 1e-6


class LSQWeight(Quantizer):
    """Weights of k bits, the step learned: one a layer, or one an output channel.

    Forward:  integer = floor(clip(w/step, -2^(k-1), 2^(k-1) - 1) + 1/2); scale = step.
    Gradient: d(integer * scale)/dw = 1 inside the clip, else 0; d/dstep = integer - w/step inside, integer outside,
              times 1/sqrt(count * (2^(k-1) - 1)), count = weights that share the step.
    Grid: signed k. Value at zero: 0. Ties: half up. All weights zero: all 0. A step below 1e-6 counts as 1e-6.
    Source: arXiv 1902.08153 eq. 1 to 5; the step starts at 2 mean|w| / sqrt(2^(k-1) - 1) (section 2.1).

    Args:
        bits: 2 to 8.
        channels: one step an output channel.

    Raises:
        QuantError: bits is not 2 to 8.
    """

    def __init__(self, bits: int, channels: bool = False) -> None:
        super().__init__(checked_bits("LSQWeight", bits, 2, 8))
        self.channels = channels
        self.reach: nn.Parameter | None = None

    @property
    def grid(self) -> Grid:
        """Signed k."""
        return Grid.signed(self.bits)

    def begin(self, weight: Tensor) -> None:
        """Start the step from weights (O, ...), fresh or just loaded."""
        refuse_empty("LSQWeight", weight)
        rows = weight.detach().abs().reshape(weight.shape[0] if self.channels else 1, -1)
        reach = (2 * rows.mean(1) * self.grid.hi**0.5).clamp(min=_LEAST * self.grid.hi)
        reach = reach if self.channels else reach[0]
        if self.reach is None:
            self.reach = nn.Parameter(reach)
        else:  # in place: an optimizer may hold it already
            with torch.no_grad():
                self.reach.copy_(reach)

    def codes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Quantize a layer's weights; see the class.

        Raises:
            QuantError: `begin` was not called.
        """
        if self.reach is None:
            raise QuantError("LSQWeight: step must be started by begin(weight) before codes")
        step = _step(self.reach, self.grid.hi, x.numel() // max(1, self.reach.numel()))
        shaped = per_channel(step, x.dim())
        return ste_round((x / shaped).clamp(self.grid.lo, self.grid.hi)), step

    def extra_repr(self) -> str:
        """Name the grid and who shares a step."""
        return f"{self.grid}, step per {'channel' if self.channels else 'layer'}"


class LSQActivation(LearnedScale):
    """Activations of k bits, not negative, the step learned.

    Forward:  integer = floor(clip(x/step, 0, n) + 1/2) with n = 2^k - 1; scale = step.
    Gradient: d(integer * scale)/dx = 1 for 0 <= x <= n step, else 0; d/dstep = integer - x/step inside, n above, 0
              below, times 1/sqrt(count * n), count = activations of one sample.
    Grid: unsigned k. Value at zero: 0. Ties: half up. A step below 1e-6 counts as 1e-6.
    Source: arXiv 1902.08153 eq. 1 to 5. The step starts at 1/n, DoReFa's: our nets' batch norms aim at [0, 1].

    Args:
        bits: 1 to 16.
        shift: move the scale to a power of two, `power_of_two`.

    Raises:
        QuantError: bits is not 1 to 16.
    """

    def __init__(self, bits: int, shift: bool = False) -> None:
        super().__init__(checked_bits("LSQActivation", bits, 1, 16), shift)
        self.reach = nn.Parameter(torch.ones(()))

    @property
    def grid(self) -> Grid:
        """Unsigned k."""
        return Grid.unsigned(self.bits)

    def learned(self) -> Tensor:
        """The step."""
        return _step(self.reach, self.grid.hi, 1)

    def codes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Quantize activations (N, ...); see the class."""
        step = self._moved(_step(self.reach, self.grid.hi, x.numel() // max(1, x.shape[0])))
        return ste_round((x / step).clamp(0, self.grid.hi)), step


def _step(reach: Tensor, n: int, count: int) -> Tensor:
    """Return reach/n, not below 1e-6.

    Gradient: of the step, times n/sqrt(count * n): a step of SGD on the reach moves reach/n by the published amount.
    """
    step: Tensor = _Step.apply(reach, n, n / (max(1, count) * n) ** 0.5)  # type: ignore[no-untyped-call]
    return step


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, reach: Tensor, n: int, gain: float) -> Tensor:
        ctx.gain = gain
        return (reach / n).clamp(min=_LEAST)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return grads[0] * ctx.gain, None, None
