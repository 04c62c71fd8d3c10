# SPDX-License-Identifier: Apache-2.0
"""Multiply, add, shift: the step tables of wide grids as three integer operations.

`find_rescale` looks for m, b and s with clamp((m*x + b) >> s) equal to a step table at every accumulator of its range, and
proves it: between two neighbouring breakpoints both sides are constant or monotone, so it is enough to look at each
breakpoint T and at T - 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitlens.core.grid import Grid
from bitlens.core.steps import NEVER, StepTable

__all__ = ["Rescale", "find_rescale"]

IntArray = npt.NDArray[np.int64]

_MULTIPLIER_BITS = 30  # m < 2^30 and |x| < 2^31 keep m*x below 2^61, so m*x + b cannot overflow 64 bits
_MAX_SHIFT = 62
_LARGEST_ADDEND = 1 << 61


@dataclass(frozen=True)
class Rescale:
    """clamp((multiplier * x + addend) >> shift, grid.lo, grid.hi), each (n,) int64; n = 1: the same for all channels."""

    multiplier: IntArray
    addend: IntArray
    shift: IntArray
    grid: Grid

    def apply(self, x: npt.ArrayLike) -> IntArray:
        """Requantize integers (..., C) to int64 of the same shape."""
        wide = (np.asarray(x, np.int64) * self.multiplier + self.addend) >> self.shift
        return np.asarray(np.clip(wide, self.grid.lo, self.grid.hi))

    def merged(self) -> Rescale:
        """One row when all channels are alike, else itself."""
        rows = np.stack([self.multiplier, self.addend, self.shift])  # (3, n)
        if np.any(rows != rows[:, :1]):
            return self
        return Rescale(self.multiplier[:1], self.addend[:1], self.shift[:1], self.grid)


def find_rescale(table: StepTable, lo: npt.ArrayLike, hi: npt.ArrayLike, grid: Grid) -> Rescale | None:
    """Find a multiply-add-shift equal to a step table over lo <= x <= hi, or None where there is none.

    For one channel with values first + d*j after breakpoint T_j (d = +1 or -1), m > 0 and x replaced by d*x, equality means
    for every j:  m*T_j + b >= (first + j) << s   and   m*(T_j - 1) + b < (first + j) << s,
    that is, b lies in an interval that depends on m. Its width is concave in m, so a ternary search finds the best m; the
    ends of the range add one condition each where the table does not reach the end of the grid.

    Args:
        table: steps of +1 or -1 (each row one direction).
        lo, hi: accumulator range per channel, (n,).
        grid: the output grid, step 1.

    Returns:
        The proven rescale, or None.
    """
    if grid.step != 1:
        return None
    rows = len(table.breakpoints)
    lo = np.broadcast_to(np.asarray(lo, np.int64), rows)
    hi = np.broadcast_to(np.asarray(hi, np.int64), rows)
    found = [
        _find_row(table.breakpoints[r][table.breakpoints[r] != NEVER], table.values[r], int(lo[r]), int(hi[r]), grid)
        for r in range(rows)
    ]
    if any(row is None for row in found):
        return None
    multiplier, addend, shift = (
        np.array(column, np.int64) for column in zip(*[row for row in found if row], strict=True)
    )
    return Rescale(multiplier, addend, shift, grid)


def _find_row(breakpoints: IntArray, values: IntArray, lo: int, hi: int, grid: Grid) -> tuple[int, int, int] | None:
    count = len(breakpoints)
    first = int(values[0])
    if count == 0:
        return 0, first, 0
    steps = np.diff(values[: count + 1])
    direction = int(steps[0])
    if abs(direction) != 1 or np.any(steps != direction):
        return None
    if direction < 0:
        # mirror x: with u = -x the row rises from the last value; breakpoint "x >= T" becomes "u >= 1 - T" from the other side
        mirrored = _find_row((1 - breakpoints)[::-1], values[count::-1], -hi, -lo, grid)
        return mirrored and (-mirrored[0], mirrored[1], mirrored[2])
    targets = first + 1 + np.arange(count, dtype=np.int64)
    shift = _shift_for(breakpoints)
    if shift is None:
        return None

    def interval(m: int) -> tuple[int, int]:
        """The addends that are right for multiplier m: both ends included."""
        wanted = targets << shift
        least = int((wanted - m * breakpoints).max())
        most = int((wanted - m * (breakpoints - 1)).min()) - 1
        if first > grid.lo:  # the row starts above the clamp, so m*lo + b must not fall below it
            least = max(least, (first << shift) - m * lo)
        if first + count < grid.hi:  # and ends below the upper clamp
            most = min(most, ((first + count + 1) << shift) - m * hi - 1)
        return least, most

    low, high = 1, (1 << _MULTIPLIER_BITS) - 1
    while high - low > 2:
        a, b = low + (high - low) // 3, high - (high - low) // 3
        (least_a, most_a), (least_b, most_b) = interval(a), interval(b)
        if most_a - least_a < most_b - least_b:
            low = a + 1
        else:
            high = b
    for m in range(low, high + 1):
        least, most = interval(m)
        if least <= most:
            addend = (least + most) // 2
            return (m, addend, shift) if abs(addend) < _LARGEST_ADDEND else None
    return None


def _shift_for(breakpoints: IntArray) -> int | None:
    """The largest shift at which the slope 1 / mean distance still has a multiplier of `_MULTIPLIER_BITS` bits."""
    count = len(breakpoints)
    distance = max(2.0**-16, float(breakpoints[-1] - breakpoints[0]) / max(1, count - 1))  # below 1: codes are skipped
    magnitude = int(np.abs(breakpoints).max()).bit_length()
    shift = int(np.floor(np.log2(distance))) + _MULTIPLIER_BITS - 1
    shift = min(shift, _MAX_SHIFT - 18, _MAX_SHIFT - 1 - max(0, magnitude - 31))
    return shift if shift >= 0 else None
