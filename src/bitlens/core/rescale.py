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
_FAR_LEFT = -(1 << 62)
_CHUNK = 1 << 16  # breakpoints looked at together: they stay in the cache


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
    rows, most = table.breakpoints.shape
    lo, hi = (np.broadcast_to(np.asarray(end, np.int64), rows) for end in (lo, hi))
    size = max(1, _CHUNK // max(1, most))
    found = []
    for start in range(0, rows, size):
        part = slice(start, start + size)
        rescaled = _find_rows(table.breakpoints[part], table.values[part], lo[part], hi[part], grid)
        if rescaled is None:
            return None
        found.append(rescaled)
    multiplier, addend, shift = np.concatenate(found, axis=1)
    return Rescale(multiplier, addend, shift, grid)


def _find_rows(breakpoints: IntArray, values: IntArray, lo: IntArray, hi: IntArray, grid: Grid) -> IntArray | None:
    """(3, n): multiplier, addend and shift of each row, or None."""
    used = breakpoints != NEVER  # (n, J)
    count = used.sum(1)
    steps = np.diff(values)  # (n, J)
    direction = np.where(count > 0, steps[:, :1].sum(1), 1)  # (n,)
    if np.any(np.abs(direction) != 1) or np.any((steps != direction[:, None]) & used):
        return None
    # mirror x of falling rows: with u = -x they rise; between T - 1 and T there is now a step at u = -T and u = 1 - T
    falling = (direction < 0)[:, None]
    before = np.where(falling, -breakpoints, breakpoints - 1)  # (n, J): the last u with the lower code
    codes = np.where(falling, values[:, :-1], values[:, 1:])  # (n, J): the higher code
    lo, hi = np.where(direction < 0, -hi, lo), np.where(direction < 0, -lo, hi)
    ends = np.sort(np.stack([values[:, 0], np.take_along_axis(values, count[:, None], 1)[:, 0]]), axis=0)
    shift = _shifts(breakpoints, used)
    if np.any(shift < 0):
        return None
    wanted = codes << shift[:, None]

    def interval(m: IntArray) -> tuple[IntArray, IntArray]:
        """The addends that are right for multipliers m (n,): both ends included."""
        right = wanted - m[:, None] * before
        least = np.where(used, right - m[:, None], _FAR_LEFT).max(1, initial=_FAR_LEFT)
        most = np.where(used, right, -_FAR_LEFT).min(1, initial=-_FAR_LEFT) - 1
        # where a row starts above the clamp m*lo + b must not fall below it, likewise at the other end
        least = np.where(ends[0] > grid.lo, np.maximum(least, (ends[0] << shift) - m * lo), least)
        most = np.where(ends[1] < grid.hi, np.minimum(most, ((ends[1] + 1) << shift) - m * hi - 1), most)
        return least, most

    low, high = np.ones_like(lo), np.full_like(lo, (1 << _MULTIPLIER_BITS) - 1)
    while np.any(high - low > 2):
        a, b = low + (high - low) // 3, high - (high - low) // 3
        (least_a, most_a), (least_b, most_b) = interval(a), interval(b)
        rising, more = most_a - least_a < most_b - least_b, high - low > 2
        low, high = np.where(more & rising, a + 1, low), np.where(more & ~rising, b, high)
    multiplier = addend = np.zeros_like(lo)
    proven = np.zeros(len(lo), bool)
    for m in (low, low + 1, low + 2):
        least, most = interval(m)
        fits = ~proven & (m <= high) & (least <= most)
        multiplier, addend = np.where(fits, m, multiplier), np.where(fits, (least + most) // 2, addend)
        proven |= fits
    constant = count == 0
    multiplier, addend, shift = (
        np.where(constant, other, row) for row, other in ((multiplier * direction, 0), (addend, ends[0]), (shift, 0))
    )
    if not np.all(proven | constant) or np.any(np.abs(addend) >= _LARGEST_ADDEND):
        return None
    return np.stack([multiplier, addend, shift])


def _shifts(breakpoints: IntArray, used: npt.NDArray[np.bool_]) -> IntArray:
    """The largest shift at which the slope 1 / mean distance still has a multiplier of `_MULTIPLIER_BITS` bits."""
    last = np.where(used, breakpoints, -NEVER).max(1, initial=-NEVER)
    first = breakpoints.min(1, initial=NEVER)
    distance = np.maximum(2.0**-16, (last - first) / np.maximum(1, used.sum(1) - 1))  # below 1: codes are skipped
    magnitude = np.frexp(np.maximum(np.abs(first), np.abs(last)).astype(float))[1]  # its bit length
    shift = np.floor(np.log2(distance)).astype(np.int64) + _MULTIPLIER_BITS - 1
    return np.asarray(np.minimum(np.minimum(shift, _MAX_SHIFT - 18), _MAX_SHIFT - 1 - np.maximum(0, magnitude - 31)))
