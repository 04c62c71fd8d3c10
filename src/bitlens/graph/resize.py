# SPDX-License-Identifier: Apache-2.0
"""Which pixel a nearest-neighbour Resize takes: ONNX's coordinate formulas."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.graph.graph import Node

__all__ = ["nearest_pixels", "resize_scales"]

Array = npt.NDArray[Any]

_ROUNDINGS: dict[str, Callable[[Array], Array]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def resize_scales(
    node: Node, shape: Sequence[int | None], constants: Mapping[str, npt.NDArray[Any]]
) -> tuple[float | None, ...]:
    """Return by how much each axis grows; None where it cannot be known before the model runs.

    Args:
        node: Resize or Upsample.
        shape: of the input.
        constants: by tensor name.
    """
    sizes = node.inputs[3] if len(node.inputs) > 3 else ""
    if sizes:
        wanted = constants[sizes].reshape(-1) if sizes in constants else [None] * len(shape)
        return tuple(None if not a or b is None else float(b) / a for a, b in zip(shape, wanted, strict=True))
    scales = node.inputs[2 if len(node.inputs) > 2 else 1]
    return (
        tuple(float(scale) for scale in constants[scales].reshape(-1)) if scales in constants else (None,) * len(shape)
    )


def nearest_pixels(node: Node, size: int, scale: float) -> npt.NDArray[np.int64]:
    """Return the index of the input pixel for each of floor(size * scale) output pixels.

    Raises:
        ValueError: a mode is not known.
    """
    old = node.op == "Upsample" or len(node.inputs) == 2  # operator sets 9 and 10 know one form
    place = node.attrs.get("coordinate_transformation_mode") or ("asymmetric" if old else "half_pixel")
    rounding = node.attrs.get("nearest_mode") or ("floor" if old else "round_prefer_floor")
    count = int(np.floor(size * scale))
    at = np.arange(count, dtype=np.float64)
    match place:
        case "half_pixel" | "half_pixel_symmetric":
            x = (at + 0.5) / scale - 0.5
            if place == "half_pixel_symmetric":
                x += (1 - count / (scale * size)) * size / 2
        case "pytorch_half_pixel":
            x = (at + 0.5) / scale - 0.5 if count > 1 else np.zeros(count)
        case "align_corners":
            x = at * (size - 1) / (count - 1) if count > 1 else np.zeros(count)
        case "asymmetric":
            x = at / scale
        case _:
            raise ValueError(f"coordinate_transformation_mode must be one that takes whole images, not {place}")
    if rounding not in _ROUNDINGS:
        raise ValueError(f"nearest_mode must be one of {', '.join(_ROUNDINGS)}, not {rounding}")
    pixels: npt.NDArray[np.int64] = np.clip(_ROUNDINGS[rounding](x), 0, size - 1).astype(np.int64)
    return pixels
