# SPDX-License-Identifier: Apache-2.0
"""What goes in and out of a session: shapes, grids and units, and arrays made to fit them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.core.grid import Grid
from bitlens.core.inputs import ROUNDINGS, InputError, as_maps, check_integers, check_names, to_integers
from bitlens.runtime import _native

__all__ = ["SessionError", "Tensor", "checked_arrays", "described", "real_values"]

IntArray = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float32]


class SessionError(ValueError):
    """A model that cannot be opened or an input that does not fit; one line that names the model, layer or input."""


@dataclass(frozen=True)
class Tensor:
    """An input, an output or a kept tensor.

    Args:
        name: its name.
        shape: (height, width, channels).
        grid: the integers it holds; None for real values, which a float island reads or gives.
        scale, offset: real = scale * integer + offset; float32 (1,) or (channels,).
        rounding: how an input's real values become integers; a name of `bitlens.core.inputs.ROUNDINGS`.
    """

    name: str
    shape: tuple[int, int, int]
    grid: Grid | None
    scale: FloatArray
    offset: FloatArray
    rounding: str = "NEAREST"


def described(fields: _native.Tensor) -> Tensor:
    """The tensor that the engine tells of."""
    name, shape, grid, scale, offset, rounding = fields
    reals = np.asarray(scale, np.float32), np.asarray(offset, np.float32)
    return Tensor(name, shape, Grid(*grid), *reals, [*ROUNDINGS][rounding])


def checked_arrays(
    inputs: Mapping[str, Tensor], x: npt.ArrayLike | Mapping[str, npt.ArrayLike]
) -> list[npt.NDArray[Any]]:
    """Turn what a user gives into one array a tensor, uint8 or int32 (N, H, W, C), channels contiguous.

    Raises:
        SessionError: a tensor is missing, has the wrong shape or dtype, holds an integer outside its grid, or N differs.
    """
    if not isinstance(x, Mapping):
        if len(inputs) != 1:
            raise SessionError(f"inputs: must be given by name ({', '.join(inputs)}), not as one array")
        x = dict.fromkeys(inputs, x)
    try:
        check_names(inputs, x)
        arrays = [_integers(tensor, np.asarray(x[name])) for name, tensor in inputs.items()]
    except InputError as error:
        raise SessionError(str(error)) from None
    counts = {name: len(array) for name, array in zip(inputs, arrays, strict=True)}
    if len(set(counts.values())) > 1:
        raise SessionError(f"inputs: all must have one batch size, not {counts}")
    return arrays


def _integers(tensor: Tensor, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Turn what a user gives into uint8 or int32 (N, H, W, C), channels contiguous."""
    assert tensor.grid is not None  # real tensors are an island's, not the engine's
    array = as_maps(array, tensor.shape)
    if array.ndim != 4 or array.shape[1:] != tensor.shape:
        raise SessionError(f"{tensor.name}: shape must be (N, {', '.join(map(str, tensor.shape))}), not {array.shape}")
    array = to_integers(tensor.name, array, tensor.grid, tensor.scale, tensor.offset, tensor.rounding)
    if array.dtype not in (np.uint8, np.int32):  # of those two the engine sees to it
        check_integers(tensor.name, array, tensor.grid)
        array = array.astype(np.int32)
    contiguous = array.strides[3] == array.itemsize and array.dtype.isnative
    aligned = all(stride >= 0 and stride % array.itemsize == 0 for stride in array.strides)
    return array if contiguous and aligned else np.ascontiguousarray(array, array.dtype.newbyteorder("="))


def real_values(array: IntArray, tensor: Tensor) -> FloatArray:
    """Scale * integer + offset, float32."""
    return array.astype(np.float32) * tensor.scale + tensor.offset
