# SPDX-License-Identifier: Apache-2.0
"""The range of an accumulator, known before any image is seen."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bitlens.core.grid import Grid

__all__ = ["ACCUMULATOR_LIMIT", "conv_bounds"]

IntArray = npt.NDArray[np.int64]

_LARGEST_SUM = 1 << 62
ACCUMULATOR_LIMIT = (1 << 31) - 2  # int32 without the number that stands for "never" in step tables


def conv_bounds(
    weights: npt.ArrayLike, grid: Grid, bias: npt.ArrayLike | None = None, *, padded: bool = False
) -> tuple[IntArray, IntArray]:
    """Bound the sums of products of weights with any inputs of a grid.

    Args:
        weights: integers (O, ...): all taps of one output channel in a row.
        grid: the grid of the inputs.
        bias: integers (O,) added to the sum.
        padded: whether a tap may see the padding's integer 0 although it is not on the grid.

    Returns:
        Smallest and largest sum per output channel, (O,) int64 each. Both are reached by some input.

    Raises:
        ValueError: the sums might not fit 62 bits.
    """
    largest = int(np.abs(np.asarray(weights, np.int64)).max(initial=0)) * max(abs(grid.lo), abs(grid.hi))
    if largest * np.asarray(weights).size >= _LARGEST_SUM:  # so that the sums below cannot overflow int64
        raise ValueError(f"sums must stay below 2^62, not reach {largest} times {np.asarray(weights).size}")
    flat = np.asarray(weights, np.int64).reshape(len(np.asarray(weights)), -1)  # (O, taps)
    at_lo, at_hi = flat * grid.lo, flat * grid.hi
    low, high = np.minimum(at_lo, at_hi), np.maximum(at_lo, at_hi)
    if padded:
        low, high = np.minimum(low, 0), np.maximum(high, 0)
    offset = np.zeros(len(flat), np.int64) if bias is None else np.asarray(bias, np.int64)
    return low.sum(axis=1) + offset, high.sum(axis=1) + offset
