# SPDX-License-Identifier: Apache-2.0
"""The set of integers a tensor may hold.

Every tensor of an integer program carries a grid and the real value of one unit (scale, offset).
A grid is an arithmetic progression, so one rule turns integers into codes 0..levels-1 and back:

    >>> Grid.odd(2).values().tolist()
    [-3, -1, 1, 3]
    >>> Grid.odd(2).encode([-3, 3]).tolist()
    [0, 3]
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Grid", "GridError"]

IntArray = npt.NDArray[np.int64]

_MAX_BITS = 32


class GridError(ValueError):
    """A grid that cannot exist, or an integer that is not on its grid."""


@dataclass(frozen=True)
class Grid:
    """The integers {lo, lo + step, ..., hi}.

    Args:
        lo: smallest integer.
        hi: largest integer, a whole number of steps above `lo`.
        step: distance of neighbours: 2 for odd grids, otherwise 1.

    Raises:
        GridError: the three do not form a progression that fits 32 bits.
    """

    lo: int
    hi: int
    step: int = 1

    def __post_init__(self) -> None:
        if self.step not in (1, 2):
            raise GridError(f"grid: step must be 1 or 2, not {self.step}")
        if self.hi < self.lo or (self.hi - self.lo) % self.step:
            raise GridError(
                f"grid: hi must be a whole number of steps above lo, not [{self.lo}, {self.hi}] by {self.step}"
            )
        if self.lo < -(1 << 31) or self.hi > (1 << 31) - 1:
            raise GridError(f"grid: [{self.lo}, {self.hi}] must lie within 32 signed bits")

    @classmethod
    def unsigned(cls, bits: int) -> Grid:
        """0 .. 2^bits - 1: DoReFa activations, images."""
        return cls(0, (1 << _checked(bits, 1, 16)) - 1)

    @classmethod
    def signed(cls, bits: int) -> Grid:
        """-2^(bits-1) .. 2^(bits-1) - 1."""
        half = 1 << (_checked(bits, 1, 16) - 1)
        return cls(-half, half - 1)

    @classmethod
    def narrow(cls, bits: int) -> Grid:
        """-(2^(bits-1) - 1) .. 2^(bits-1) - 1, symmetric; 2 bits is ternary."""
        top = (1 << (_checked(bits, 2, 16) - 1)) - 1
        return cls(-top, top)

    @classmethod
    def odd(cls, bits: int) -> Grid:
        """The 2^bits odd integers of -(2^bits - 1) .. 2^bits - 1: DoReFa and balanced weights."""
        top = (1 << _checked(bits, 1, 16)) - 1
        return cls(-top, top, 2)

    @classmethod
    def bipolar(cls) -> Grid:
        """{-1, +1}, the odd grid of one bit."""
        return cls.odd(1)

    @classmethod
    def ternary(cls) -> Grid:
        """{-1, 0, +1}, the narrow grid of two bits."""
        return cls.narrow(2)

    @classmethod
    def span(cls, lo: int, hi: int) -> Grid:
        """All integers from lo to hi: accumulators."""
        return cls(lo, hi)

    @classmethod
    def parse(cls, text: str) -> Grid:
        """Read a grid's name, such as "odd 2", "unsigned 4", "bipolar".

        Raises:
            GridError: no grid has this name.
        """
        words = text.split()
        makers = {"unsigned": cls.unsigned, "signed": cls.signed, "narrow": cls.narrow, "odd": cls.odd}
        if text in ("bipolar", "ternary"):
            return cls.bipolar() if text == "bipolar" else cls.ternary()
        if len(words) == 2 and words[0] in makers and re.fullmatch("[0-9]{1,9}", words[1]):
            return makers[words[0]](int(words[1]))
        names = ", ".join([*(f'"{name} BITS"' for name in makers), '"bipolar"', '"ternary"'])
        raise GridError(f'grid: name must be one of {names}, not "{text}"')

    @property
    def levels(self) -> int:
        """How many integers the grid has."""
        return (self.hi - self.lo) // self.step + 1

    @property
    def bits(self) -> int:
        """Bits of one code: ceil(log2(levels)), at least 1."""
        return max(1, (self.levels - 1).bit_length())

    @property
    def has_zero(self) -> bool:
        """Whether the integer 0 is on the grid."""
        return self.lo <= 0 <= self.hi and self.lo % self.step == 0

    def values(self) -> IntArray:
        """All integers of the grid, ascending, int64."""
        return np.arange(self.lo, self.hi + 1, self.step, dtype=np.int64)

    def contains(self, integers: npt.ArrayLike) -> bool:
        """Whether every integer of the array is on the grid."""
        array = np.asarray(integers)
        if array.size == 0:
            return True
        inside = (array >= self.lo) & (array <= self.hi)
        return bool(np.all(inside & ((array - self.lo) % self.step == 0)))

    def covers(self, other: Grid) -> bool:
        """Whether every integer of `other` is on this grid."""
        if other.levels == 1:
            return self.contains(other.lo)
        steps = self.step == 1 or (other.step % self.step == 0 and (other.lo - self.lo) % self.step == 0)
        return self.lo <= other.lo and other.hi <= self.hi and steps

    def encode(self, integers: npt.ArrayLike) -> IntArray:
        """Turn integers of the grid into codes 0..levels-1, int64 of the same shape.

        Raises:
            GridError: an integer is not on the grid.
        """
        array = np.asarray(integers, dtype=np.int64)
        if not self.contains(array):
            raise GridError(f"grid: every integer must be on {self}")
        return (array - self.lo) // self.step

    def decode(self, codes: npt.ArrayLike) -> IntArray:
        """Turn codes 0..levels-1 into integers of the grid, int64 of the same shape.

        Raises:
            GridError: a code is outside 0..levels-1.
        """
        array = np.asarray(codes, dtype=np.int64)
        if array.size and (array.min() < 0 or array.max() >= self.levels):
            raise GridError(f"grid: codes must be in 0..{self.levels - 1} for {self}")
        return self.lo + self.step * array

    def __str__(self) -> str:
        """The grid's name where it has one, else its ends."""
        for text in ("bipolar", "ternary"):
            if self == Grid.parse(text):
                return text
        bits = self.bits
        if bits <= 16:
            for name in ("unsigned", "signed", "odd"):
                if self == Grid.parse(f"{name} {bits}"):
                    return f"{name} {bits}"
            if bits > 1 and self == Grid.narrow(bits):
                return f"narrow {bits}"
        return f"{self.lo}..{self.hi}" + ("" if self.step == 1 else f" by {self.step}")


def _checked(bits: int, least: int, most: int) -> int:
    if not least <= bits <= most:
        raise GridError(f"grid: bits must be {least} to {most}, not {bits}")
    return bits
