# SPDX-License-Identifier: Apache-2.0
"""What a user may give as the input of a program: one rule for golden and the engine.

Integers are taken as the integers of the input's grid. Floats are real values and are quantized by it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.core import reference
from bitlens.core.grid import Grid

__all__ = ["ROUNDINGS", "InputError", "as_maps", "check_integers", "check_names", "to_integers"]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float32]


# How real values become integers of an input: NEAREST is half up, floor(v + 1/2), ROUND_ODD has ties to odd, HALF_FLOOR ties
# down; the others are QONNX's. The order is the number that a file stores.
ROUNDINGS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "NEAREST": lambda v: np.floor(v + np.float32(0.5)),
    **{name: reference.ROUNDINGS[name] for name in ("ROUND", "FLOOR", "CEIL", "DOWN", "UP", "HALF_UP", "HALF_DOWN")},
    "ROUND_ODD": lambda v: np.rint(v + np.float32(1)) - np.float32(1),
    "HALF_FLOOR": lambda v: np.ceil(v - np.float32(0.5)),
}


class InputError(ValueError):
    """An array that is no input of the program; the sentence names the input."""


def check_names(inputs: Collection[str], given: Collection[str]) -> None:
    """Refuse inputs that are left out or unknown.

    Raises:
        InputError: the two do not hold the same names.
    """
    if {*inputs} != {*given}:
        raise InputError(f"inputs: names must be {', '.join(inputs)}, not {', '.join(given) or 'none'}")


def to_integers(
    name: str, array: Array, grid: Grid, scale: FloatArray, offset: FloatArray, rounding: str = "NEAREST"
) -> Array:
    """Return integers as they are, and floats as the nearest integers of the grid.

    The arithmetic is float32: (x - offset) / scale, rounded and clipped to the grid; of an odd grid half of one less is
    rounded, as QONNX does at a zero point of -1/2.

    Args:
        name: the input's, for the sentence.
        array: (N, H, W, C).
        grid, scale, offset: the input's.
        rounding: a name of `ROUNDINGS`.

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
    parity = grid.lo % grid.step  # 0, or 1 for the odd integers of an odd grid
    places = ROUNDINGS[rounding]((units - np.float32(parity)) / np.float32(grid.step))
    integers = grid.step * places.astype(np.float64) + parity  # float64 holds every end of a grid
    return np.asarray(np.clip(integers, grid.lo, grid.hi).astype(np.int64))


def as_maps(array: Array, shape: Sequence[int | None]) -> Array:
    """Vectors (N, C) and numbers (N,) as maps (N, 1, 1, C), where the input (H, W, C) has one pixel; others as they are."""
    pixel = tuple(shape[:2]) == (1, 1)
    if pixel and (array.ndim == 2 or (array.ndim == 1 and shape[2] == 1)):
        return array.reshape(len(array), 1, 1, *(array.shape[1:] or (1,)))
    return array


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
