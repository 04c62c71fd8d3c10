# SPDX-License-Identifier: Apache-2.0
"""Scales that are powers of two, so that hardware shifts where it would multiply.

>>> power_of_two(torch.tensor(0.3))
tensor(0.2500)
"""

from __future__ import annotations

import torch
from torch import Tensor

from bitlens.core.grid import Grid
from bitlens.quant.base import Quantizer, straight_through

__all__ = ["PowerOfTwoWeight", "power_of_two"]

_HALF_OCTAVE = 0.5**0.5


def power_of_two(scale: Tensor) -> Tensor:
    """Return the nearest power of two by ratio, exact; at most a factor sqrt(2) away.

    Forward: 2^floor(log2(s) + 1/2). Gradient: identity. Ties: sqrt(2) times a power goes up, as far as float32 holds it.
    NaN and infinity stay, so that a scale that is lost does not look like 1.

    Args:
        scale: positive normal numbers, any shape, float32.
    """
    known = scale.detach()
    mantissa, exponent = torch.frexp(known)  # mantissa in [1/2, 1)
    exponent = exponent - (mantissa < _HALF_OCTAVE).to(exponent.dtype)
    power = torch.ldexp(torch.ones_like(mantissa), exponent)
    return straight_through(scale, torch.where(known.isfinite(), power, known), torch.ones_like(mantissa))


class PowerOfTwoWeight(Quantizer):
    """Weights of any family, their scale moved to the nearest power of two.

    Forward:  the family's integers; scale = `power_of_two`(the family's scale).
    Gradient: the family's, times new scale / old scale (0.71 to 1.41).
    Grid, value at zero, ties: the family's. Batch norm behind the layer takes up the factor.
    Source: the usual constraint of shift-only hardware, such as arXiv 1903.08066.

    Args:
        family: quantizer of weights.
    """

    def __init__(self, family: Quantizer) -> None:
        super().__init__(family.bits)
        self.family = family

    @property
    def grid(self) -> Grid:
        """The family's."""
        return self.family.grid

    def begin(self, weight: Tensor) -> None:
        """Start the family."""
        self.family.begin(weight)

    def codes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Quantize a layer's weights; see the class."""
        integers, scale = self.family.codes(x)
        return integers, power_of_two(scale)
