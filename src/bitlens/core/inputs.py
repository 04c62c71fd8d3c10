# SPDX-License-Identifier: Apache-2.0
"""What a user may give as the input of a program: one rule for golden and the engine.

Integers are taken as the integers of the input's grid. Floats are real values and are quantized by it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.core.grid import Grid

__all__ = ["InputError", "check_integers", "check_names", "to_integers"]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float32]


class InputError(ValueError):
    """An array that is no input of the program; the sentence names the input."""


def check_names(inputs: Collection[str], given: Collection[str]) -> None:
    """Refuse inputs that are left out or unknown.

    Raises:
        InputError: the two do not hold the same names.
    """
    if {*inputs} != {*given}:
        raise InputError(f"inputs: names must be {', '.join(inputs)}, not {', '.join(given) or 'none'}")


def to_integers(name: str, array: Array, grid: Grid, scale: FloatArray, offset: FloatArray) -> Array:
    """Return integers as they are, and floats as the nearest integers of the grid.

    The arithmetic is float32: floor((x - offset) / scale + 1/2), clipped to the grid; an odd grid counts steps of 2 from its
    lower end.

    Args:
        name: the input's, for the sentence.
        array: (N, H, W, C).
        grid, scale, offset: the input's.

    Raises:
        InputError: the array holds neither integers nor finite floats.
    """
    if array.dtype.kind in "iu":
        return array
    if array.dtype.kind != "f":
        raise InputError(f"{name}: dtype must be an integer or float type, not {array.dtype}")
    finite = np.isfinite(array)
    if not finite.all():
        raise InputError(f"{name}: every number must be finite, not {array[~finite][0]}")
    with np.errstate(over="ignore"):  # infinity is clipped as any large number
        units = (array.astype(np.float32) - offset) / scale
    if grid.step == 1:
        lo, hi, places = grid.lo, grid.hi, np.floor(units + np.float32(0.5))
    else:
        lo, hi = 0, grid.levels - 1
        places = np.floor((units - np.float32(grid.lo)) / np.float32(2) + np.float32(0.5))
    integers: Array = np.clip(places.astype(np.float64), lo, hi).astype(np.int64)  # float64 holds every end of a grid
    return integers if grid.step == 1 else grid.lo + 2 * integers


def check_integers(name: str, array: Array, grid: Grid) -> None:
    """Refuse integers outside the grid.

    Raises:
        InputError: the sentence names the first one.
    """
    wrong = (array < grid.lo) | (array > grid.hi)
    if grid.step > 1:
        wrong |= (array.astype(np.int64) - grid.lo) % grid.step != 0
    if wrong.any():
        raise InputError(f"{name}: every integer must be on the grid {grid}, not {array[wrong][0]}")
