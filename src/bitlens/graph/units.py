# SPDX-License-Identifier: Apache-2.0
"""Units of integer tensors: which one holds the others a whole number of times.

All in float32, as models compute: a number is k units where float32(k) * unit is that very number.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["common_unit", "scaled_unit", "whole_multiple"]

FloatArray = npt.NDArray[np.float32]

_MOST = 1 << 24  # whole numbers that float32 holds


def whole_multiple(numbers: FloatArray, unit: FloatArray) -> npt.NDArray[np.int64] | None:
    """How many units each number is, int64; None where one is no whole number of them."""
    with np.errstate(all="ignore"):
        ratio = np.rint(numbers.astype(np.float64) / unit.astype(np.float64))
        if not np.all(np.isfinite(ratio)) or np.any(np.abs(ratio) > _MOST):
            return None
        back = np.asarray(ratio.astype(np.float32) * unit, np.float32)
    if not np.array_equal(back, np.broadcast_to(numbers, back.shape)):
        return None
    return np.asarray(ratio.astype(np.int64))


def scaled_unit(unit: FloatArray, factor: FloatArray, *, divide: bool) -> tuple[int, FloatArray] | None:
    """Sign and unit of integers that are multiplied, or divided, by numbers.

    None where the numbers are not all of one sign, or the new unit is no positive finite number: then the result is real.
    """
    if not (np.all(factor > 0) or np.all(factor < 0)):
        return None
    with np.errstate(over="ignore", under="ignore"):
        found = np.asarray(unit / np.abs(factor) if divide else unit * np.abs(factor), np.float32)
    if not np.all(np.isfinite(found)) or not np.all(found > 0):
        return None
    return (1 if np.all(factor > 0) else -1), found


def common_unit(units: Sequence[FloatArray]) -> tuple[FloatArray, list[int]] | None:
    """The finest of several units and how often each holds it; None where one is no whole multiple of it.

    Args:
        units: float32, positive, () or one per channel; with different numbers for the channels only when all are alike.

    Returns:
        The unit, and one factor (at least 1) for each of the units.
    """
    if not units:
        return None
    first = units[0]
    if all(unit.shape == first.shape and np.array_equal(unit, first) for unit in units):
        return first, [1] * len(units)
    finest = min(units, key=lambda unit: float(unit.max()))
    if not np.all(finest > 0) or len({unit.shape for unit in units if unit.ndim}) > 1:
        return None
    factors: list[int] = []
    for unit in units:
        found = whole_multiple(unit, finest)
        if found is None or found.min() != found.max() or found.min() < 1:
            return None
        factors.append(int(found.min()))
    return finest, factors
