# SPDX-License-Identifier: Apache-2.0
"""What a part of a circuit takes of a device."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Cost", "total_cost"]


@dataclass(frozen=True)
class Cost:
    """Cells of a device.

    Args:
        lut: lookup tables, those used as memory included.
        ff: registers.
        bram: block RAMs of the device; half ones count 0.5.
        dsp: hard multipliers.
    """

    lut: int = 0
    ff: int = 0
    bram: float = 0
    dsp: int = 0

    def fits(self, most: Cost) -> bool:
        """Whether nothing is more than there is."""
        return self.lut <= most.lut and self.ff <= most.ff and self.bram <= most.bram and self.dsp <= most.dsp

    def __str__(self) -> str:
        return f"{self.lut:,} LUT, {self.ff:,} FF, {self.bram:g} BRAM and {self.dsp} DSP"

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.lut + other.lut, self.ff + other.ff, self.bram + other.bram, self.dsp + other.dsp)

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.lut - other.lut, self.ff - other.ff, self.bram - other.bram, self.dsp - other.dsp)


def total_cost(costs: Iterable[Cost]) -> Cost:
    """The sum."""
    return sum(costs, Cost())
