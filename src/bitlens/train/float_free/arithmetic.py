# SPDX-License-Identifier: Apache-2.0
"""Integer operations of a training step, carried by float64: every value is an integer, no operation rounds it.

float64 holds integers up to 2^53, so products and sums of the 32-bit integers used here are exact in whatever order a
library adds them, on every device. A division keeps only its integer quotient. Shifts are divisions by a power of two.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["draw", "narrow", "power_above", "quotient", "rounded", "saturated", "shifted", "spatial_mean"]


def quotient(x: Tensor, by: Tensor | float) -> Tensor:
    """Return floor(x / by), exact for integers below 2^53."""
    return torch.div(x, by, rounding_mode="floor")


def rounded(x: Tensor, by: Tensor | float) -> Tensor:
    """Return floor(x / by + 1/2), for positive integers `by`."""
    return quotient(2 * x + by, 2 * by)


def shifted(x: Tensor, bits: int) -> Tensor:
    """Return floor(x / 2^bits + 1/2)."""
    return torch.floor(x * 2.0**-bits + 0.5) if bits else x


def power_above(x: Tensor) -> Tensor:
    """Return the smallest power of two above each positive integer: the bit length's."""
    mantissa, _ = torch.frexp(x)  # in [1/2, 1)
    return x / mantissa  # exact: a power of two


def narrow(x: Tensor, bits: int) -> Tensor:
    """Scale integers by one power of two so that the largest has so many bits; what is below is rounded off.

    The largest may be rounded up to 2^bits. All zeros stay.
    """
    unit = float(1 << bits) / power_above(x.abs().amax().clamp(min=1))  # a power of two
    return torch.floor(x * unit + 0.5)


def draw(like: Tensor, count: int) -> Tensor:
    """Return uniform integers 0..count-1 of the shape of `like`, from torch's generator of its device."""
    return torch.empty_like(like).random_(0, count)


def saturated(limit: int, x: Tensor) -> Tensor:
    """Saturate to -limit..limit."""
    return x.clamp(-limit, limit)


def spatial_mean(x: Tensor, fraction: int) -> Tensor:
    """Return the mean of integers (N, C, H, W) over all but C, with so many fractional bits, as integers (C,).

    First over each sample, then over the samples, each division rounded: sums stay within 32 bits where a sample's map, a
    batch's means and the fraction leave room for them, which a `Ledger` tells.
    """
    area, samples = x.shape[2] * x.shape[3], x.shape[0]
    each = rounded(x.sum((2, 3)) * float(1 << fraction), float(area))  # (N, C)
    return rounded(each.sum(0), float(samples))
