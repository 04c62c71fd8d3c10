# SPDX-License-Identifier: Apache-2.0
"""Plain uniform quantizers: the 8-bit ends of a net, the grid of joins, and biases on an accumulator's grid."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from bitlens.core.grid import Grid
from bitlens.quant.base import FixedScale, QuantError, Quantizer, checked_bits, refuse_empty, ste_round

__all__ = [
    "AccumulatorBias",
    "JoinActivation",
    "NarrowWeight",
    "UnsignedInput",
    "join_activation",
    "narrow_weight",
    "unsigned_input",
]

_TINY = 1e-12


class NarrowWeight(Quantizer):
    """Symmetric weights of k bits with a zero level, for the first and last layer.

    Forward:  scale = max|w| / m with m = 2^(k-1) - 1, one scalar a layer; integer = clip(floor(w/scale + 1/2), -m, m).
    Gradient: d(integer * scale)/dw = identity; the scale is a constant.
    Grid: narrow k, {-m, ..., m}. Value at zero: 0. Ties: half up. All weights zero: every integer 0.
    Source: the usual symmetric quantizer (8 bits at the ends cost nothing: PACT, arXiv 1805.06085, table 2).

    Args:
        bits: 2 to 8.

    Raises:
        QuantError: bits is not 2 to 8.
    """

    def __init__(self, bits: int = 8) -> None:
        super().__init__(checked_bits("NarrowWeight", bits, 2, 8))

    @property
    def grid(self) -> Grid:
        """Narrow k."""
        return Grid.narrow(self.bits)

    def codes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Quantize a layer's weights; see the class."""
        refuse_empty("NarrowWeight", x)
        scale = x.detach().abs().max().clamp(min=_TINY) / self.grid.hi
        return ste_round(x / scale).clamp(self.grid.lo, self.grid.hi), scale


def narrow_weight(w: Tensor, bits: int = 8) -> Tensor:
    """Return fake-quantized weights, integers * scale; see `NarrowWeight`."""
    out: Tensor = NarrowWeight(bits)(w)
    return out


class UnsignedInput(FixedScale):
    """Images: uint8 values as float32 u/255.

    Forward:  integer = clip(floor(x/scale + 1/2), 0, n) with n = 2^k - 1, scale = float32(1/n).
    Gradient: identity inside [0, 1], else 0 (of integer * scale).
    Grid: unsigned k. Value at zero: 0. Ties: half up.
    Source: DoReFa-Net eq. 5 without a bound.

    Args:
        bits: 1 to 16.

    Raises:
        QuantError: bits is not 1 to 16.
    """

    def __init__(self, bits: int = 8) -> None:
        super().__init__(checked_bits("UnsignedInput", bits, 1, 16), 1.0 / ((1 << bits) - 1))

    @property
    def grid(self) -> Grid:
        """Unsigned k."""
        return Grid.unsigned(self.bits)

    def codes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Quantize images; see the class."""
        return ste_round((x / self.scale).clamp(0, self.grid.hi)), self.scale


def unsigned_input(x: Tensor, bits: int = 8) -> Tensor:
    """Return fake-quantized images, integers * scale; see `UnsignedInput`."""
    out: Tensor = UnsignedInput(bits).to(x.device)(x)
    return out


class _JoinCodes(torch.autograd.Function):
    """floor((x + unit/2) / unit) within lo..hi with little memory traffic: one new tensor forward, one backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, unit: float, lo: int, hi: int) -> Tensor:
        ctx.save_for_backward(x)  # unit is a power of two: all bounds are exact
        ctx.unit, ctx.bounds = unit, (unit * (lo - 0.5), unit * (hi - 0.5))
        return x.add(0.5 * unit).mul_(1.0 / unit).clamp_(lo, hi).floor_()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (x,) = ctx.saved_tensors
        grad: Tensor = torch.ops.aten.hardtanh_backward(grads[0], x, *ctx.bounds)
        return grad.mul_(1.0 / ctx.unit), None, None, None


class JoinActivation(FixedScale):
    """Both signs on one fixed grid, so that branches of an add or a concat share a scale.

    Forward:  integer = clip(floor((x + scale/2) / scale), -h, h - 1) with h = 2^(k-1), scale = reach/h.
    Gradient: identity while x + scale/2 lies between the ends of the grid, else 0 (of integer * scale).
    Grid: signed k, {-h, ..., h - 1}. Value at zero: 0. Ties: half up.
    Source: one shared grid a join; behind a batch normalization a reach of 4 clips 6 values in 100,000.

    Args:
        bits: 2 to 16.
        reach: largest real magnitude, a power of two from 2^-64 to 2^64, so that dividing by the scale is exact.

    Raises:
        QuantError: bits is not 2 to 16, or reach is no such power of two.
    """

    half_unit: Tensor
    rounding_mode = "FLOOR"

    def __init__(self, bits: int = 8, reach: float = 4.0) -> None:
        if not 2.0**-64 <= reach <= 2.0**64 or math.frexp(reach)[0] != 0.5:
            raise QuantError(f"JoinActivation: reach must be a power of two from 2^-64 to 2^64, not {reach}")
        unit = reach / (1 << (checked_bits("JoinActivation", bits, 2, 16) - 1))
        super().__init__(bits, unit)
        self.unit = unit
        self.reach = reach
        self.register_buffer("half_unit", self.scale / 2, persistent=False)

    @property
    def grid(self) -> Grid:
        """Signed k."""
        return Grid.signed(self.bits)

    def bounded(self, x: Tensor) -> Tensor:
        """Return x + scale/2: the exported operator rounds down."""
        return x + self.half_unit

    def codes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Quantize one branch; see the class."""
        integers: Tensor = _JoinCodes.apply(x, self.unit, self.grid.lo, self.grid.hi)  # type: ignore[no-untyped-call]
        return integers, self.scale

    def extra_repr(self) -> str:
        """Name the grid and the reach."""
        return f"{self.grid}, reach={self.reach}"


def join_activation(x: Tensor, bits: int = 8, reach: float = 4.0) -> Tensor:
    """Return a fake-quantized branch, integers * scale; see `JoinActivation`."""
    out: Tensor = JoinActivation(bits, reach).to(x.device)(x)
    return out


class _Held(torch.autograd.Function):
    """Clip to +-reach; the gradient passes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, reach: int) -> Tensor:
        return x.clamp(-reach, reach)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


class AccumulatorBias(Quantizer):
    """A bias as integers of the accumulator's own unit, so that a classifier's outputs stay comparable integers.

    Forward:  integer = clip(floor(b/s + 1/2), -(2^22), 2^22), s = weight scale * activation scale, given by the layer.
    Gradient: identity of integer * s, also where it is clipped, so that a bias can come back.
    Grid: integers of magnitude up to 2^22 (they stay exact in float32). Value at zero: 0. Ties: half up.
    Source: `b` on the grid of the sum, as in every integer-only inference engine.
    """

    REACH = 1 << 22

    def __init__(self) -> None:
        super().__init__(32)

    @property
    def grid(self) -> Grid:
        """Integers of magnitude up to 2^22."""
        return Grid.span(-self.REACH, self.REACH)

    def codes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Not defined without the layer's scale: use `on_grid`."""
        raise QuantError("AccumulatorBias: codes need the accumulator's scale, call on_grid(bias, scale)")

    def on_grid(self, bias: Tensor, scale: Tensor) -> Tensor:
        """Return the integers of a bias in units of `scale` (scalar or per channel), shape of bias."""
        held: Tensor = _Held.apply(ste_round(bias / scale), self.REACH)  # type: ignore[no-untyped-call]
        return held

    def extra_repr(self) -> str:
        """No attribute to name."""
        return ""
