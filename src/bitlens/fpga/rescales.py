# SPDX-License-Identifier: Apache-2.0
"""The least shift, one for all channels, at which rescales stay what they are: a circuit's multipliers have few bits then.

A compiled rescale has the largest multipliers that its proof allows. Between the inputs where its result changes nothing
changes, so another one is equal if it changes at the same inputs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bitlens.core.grid import Grid

__all__ = ["least_rescale"]

IntArray = npt.NDArray[np.int64]

_FAR = 1 << 62
_MOST_BITS = 60  # of what is computed here
_TRIED = 3  # multipliers beside the one that is proportional, on either side


def least_rescale(
    multiplier: IntArray, addend: IntArray, shift: IntArray, lo: int, hi: int, grid: Grid
) -> tuple[IntArray, IntArray, int] | None:
    """Find multipliers and addends of one shift with clamp((m*x + b) >> s) the same for every lo <= x <= hi.

    For a rising channel whose result first reaches k at x_k, equality means  m*x_k + b >= k << s  and
    m*(x_k - 1) + b < k << s  for every k above the grid's least; with k that no x reaches, or all do, the ends of the range
    stand for x_k. So b lies in an interval that depends on m. A falling channel is a rising one of -x.

    Args:
        multiplier, addend, shift: (n,) of clamp((multiplier * x + addend) >> shift).
        lo, hi: range of x.
        grid: of the result.

    Returns:
        Multipliers (n,), addends (n,) and the shift; None where no shift up to the largest one does.
    """
    sign = np.where(multiplier < 0, -1, 1)
    first, last = np.where(sign < 0, -hi, lo), np.where(sign < 0, -lo, hi)  # of sign * x
    codes = np.arange(grid.lo + 1, grid.hi + 1)
    m, b, s = (np.asarray(column, np.int64)[:, None] for column in (np.abs(multiplier), addend, shift))
    reached = -((b - (codes << s)) // np.maximum(m, 1))  # (n, codes): the first sign * x with m*x + b >= code << s
    reached = np.where(m == 0, np.where(b >= codes << s, -_FAR, _FAR), reached)
    above, below = reached > last[:, None], reached <= first[:, None]  # by none, by all
    high = np.where(above, _FAR, np.where(below, first[:, None], reached))  # here the result is at least code
    low = np.where(below, -_FAR, np.where(above, last[:, None], reached - 1))  # here it is less
    most_input = max(abs(lo), abs(hi), 1).bit_length()
    most_code = max(abs(grid.lo), abs(grid.hi)).bit_length() + 1
    for wanted in range(int(np.max(shift)) + 1):
        scaled = m * 2.0 ** (wanted - s)
        if max(wanted + most_code, int(scaled.max()).bit_length() + 3 + most_input) > _MOST_BITS:
            return None
        rows = _at_shift(np.rint(scaled).astype(np.int64), high, low, codes << wanted)
        if rows is not None:
            return sign * rows[0], rows[1], wanted
    return None


def _at_shift(near: IntArray, high: IntArray, low: IntArray, codes: IntArray) -> tuple[IntArray, IntArray] | None:
    """Multipliers near (n, 1) and addends that change where they must; None where a channel has none."""
    asked, denied = high < _FAR, low > -_FAR
    found = np.zeros(len(near), bool)
    multiplier, addend = np.zeros((2, len(near)), np.int64)
    for away in range(_TRIED * 2 + 1):
        tried = np.maximum(0, near + (away + 1) // 2 * (1 if away % 2 else -1))  # (n, 1)
        rest = codes - tried * np.where(asked, high, 0), codes - 1 - tried * np.where(denied, low, 0)
        least = np.where(asked, rest[0], -_FAR).max(1, initial=-_FAR)
        most = np.where(denied, rest[1], _FAR).min(1, initial=_FAR)
        fits = ~found & (least <= most)
        multiplier = np.where(fits, tried[:, 0], multiplier)
        addend = np.where(fits, np.clip(0, least, most), addend)
        found |= fits
    return (multiplier, addend) if found.all() else None
