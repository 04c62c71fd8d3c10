# SPDX-License-Identifier: Apache-2.0
"""Quantizers of what recurrent nets carry from step to step: values of [0, 1], and unsigned fixed point.

>>> FixedPoint(12, 8).codes(torch.tensor([0.5, 99.0]))
(tensor([ 128., 4095.]), tensor(0.0039))
"""

from __future__ import annotations

from torch import Tensor

from bitlens.core.grid import Grid
from bitlens.quant.base import FixedScale, QuantError, checked_bits, ste_floor, straight_through

__all__ = ["FixedPoint", "UnitActivation", "fixed_point", "unit_activation"]


class UnitActivation(FixedScale):
    """Activations of k bits that are built to lie in [0, 1]: Q_k of the recurrent nets.

    Forward:  integer = floor(x/scale + 1/2), scale = float32(1/n) with n = 2^k - 1; in evaluation clipped to 0..n.
    Gradient: d(integer * scale)/dx = identity, also at 0 and 1, so quantizing twice changes neither value nor gradient
              (behind a `DoReFaActivation` the second would stop the gradient of every 0 and 1).
    Grid: unsigned k, {0, ..., n}; in training, dropout between two of them makes codes larger, which is why
    nothing is clipped there. Where it divides by other shares than 1/2 this rounding moves the mean: of codes 1 to 3 that
    are divided by 0.85 it is 0.85, 0.85 and 1.13 of what it was. Value at zero: 0. Ties: half up.
    Source: Effective Quantization Methods for Recurrent Neural Networks, arXiv 1611.10176, the authors' code.

    Args:
        bits: 1 to 16.

    Raises:
        QuantError: bits is not 1 to 16.
    """

    def __init__(self, bits: int) -> None:
        super().__init__(checked_bits("UnitActivation", bits, 1, 16), 1.0 / ((1 << bits) - 1))

    @property
    def grid(self) -> Grid:
        """Unsigned k."""
        return Grid.unsigned(self.bits)

    def codes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Quantize activations; see the class."""
        integers = ste_floor(x / self.scale + 0.5)
        return integers if self.training else integers.clamp(0, self.grid.hi), self.scale


def unit_activation(x: Tensor, bits: int) -> Tensor:
    """Return fake-quantized activations as in evaluation, integers * scale; see `UnitActivation`."""
    out: Tensor = UnitActivation(bits).eval().to(x.device)(x)
    return out


class FixedPoint(FixedScale):
    """Unsigned saturating fixed point: gates and cells of recurrent nets in the fixed form.

    Forward:  integer = clip(floor(x * 2^fraction + 1/2), 0, 2^bits - 1), scale = 2^-fraction.
    Gradient: d(integer * scale)/dx = identity, clipping included, so that a saturated cell can come back.
    Grid: unsigned. Value at zero: 0. Ties: half up.
    Source: fixed-point arithmetic with saturation, as in every signal processor.

    Args:
        bits: 1 to 16.
        fraction: bits behind the point, 0 to 16.

    Raises:
        QuantError: bits or fraction is out of range.
    """

    def __init__(self, bits: int, fraction: int) -> None:
        bits = checked_bits("FixedPoint", bits, 1, 16)
        if isinstance(fraction, bool) or not isinstance(fraction, int) or not 0 <= fraction <= 16:
            raise QuantError(f"FixedPoint: fraction must be 0 to 16, not {fraction}")
        super().__init__(bits, 2.0**-fraction)
        self.fraction = fraction

    @property
    def grid(self) -> Grid:
        """Unsigned."""
        return Grid.unsigned(self.bits)

    def codes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Quantize; see the class."""
        integers = self._integers(x.detach())
        return straight_through(x, integers, 1 / self.scale), self.scale

    def rounded(self, x: Tensor) -> Tensor:
        """Return integers * scale without gradient."""
        return self._integers(x).mul_(self.scale)

    def _integers(self, x: Tensor) -> Tensor:
        return (x / self.scale).add_(0.5).floor_().clamp_(0, self.grid.hi)

    def extra_repr(self) -> str:
        """Name the grid and the fraction."""
        return f"{self.grid}, fraction={self.fraction}"


def fixed_point(x: Tensor, bits: int, fraction: int) -> Tensor:
    """Return fake-quantized values, integers * scale; see `FixedPoint`."""
    out: Tensor = FixedPoint(bits, fraction).to(x.device)(x)
    return out
