# SPDX-License-Identifier: Apache-2.0
"""Faces cut out of a luma frame as squares of one size: the same integers on every machine.

A pixel of the crop is a weighted mean of the frame. The weights are a triangle as wide as the crop's pixel, or as a pixel of
the frame where that is wider: small faces are interpolated. Being integers over 2^12, they give sums that floating-point
products hold exactly, in any order.

    >>> crop_faces(luma, boxes, size=112, margin=1.2)  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from bitlens.vision.records import Box, VisionError

__all__ = ["check_luma", "crop_faces", "cut_square", "level", "square_around"]

Bytes = npt.NDArray[np.uint8]
Square = tuple[float, float, float]

_ONE = 1 << 12  # the sum of the weights of a pixel, one axis
_MOST_GAIN = 8.0


def check_luma(luma: npt.NDArray[np.uint8]) -> None:
    """Refuse what is no luma plane.

    Raises:
        VisionError: not uint8 (H, W) with at least one pixel.
    """
    if luma.dtype != np.uint8 or luma.ndim != 2 or not luma.size:
        raise VisionError(f"luma: must be uint8 (H, W) with at least one pixel, not {luma.dtype} {luma.shape}")


def square_around(box: Box, margin: float) -> Square:
    """Return (left, top, side) of the square around a box's centre, `margin` times its longer side.

    Raises:
        VisionError: width or height is not positive, or a number is not finite.
    """
    numbers = box.left, box.top, box.width, box.height
    if not (np.isfinite(numbers).all() and box.width > 0 and box.height > 0):
        raise VisionError(f"box: must be finite with positive width and height, not {numbers}")
    side = margin * max(box.width, box.height)
    x, y = box.centre
    return x - side / 2, y - side / 2, side


def cut_square(luma: Bytes, square: Square, size: int) -> Bytes:
    """Return what a square shows, scaled to (size, size); outside the frame its border pixels go on.

    Args:
        luma: uint8 (H, W).
        square: (left, top, side) in pixels of the frame; pixel i covers i to i + 1.
        size: side of the crop in pixels.
    """
    left, top, side = square
    rows, first_row = _weights(top, side, size, luma.shape[0])
    columns, first_column = _weights(left, side, size, luma.shape[1])
    window = luma[first_row : first_row + rows.shape[1], first_column : first_column + columns.shape[1]]
    across = rows.astype(np.float32) @ window.astype(np.float32)  # below 2^20: exact in float32
    sums = across.astype(np.float64) @ columns.T  # (size, size), below 2^32: exact
    pixels: Bytes = np.floor(sums / (_ONE * _ONE) + 0.5).astype(np.uint8)
    return pixels


def crop_faces(luma: Bytes, boxes: Iterable[Box], size: int, margin: float) -> Bytes:
    """Return one crop a box, uint8 (N, size, size).

    Args:
        luma: uint8 (H, W).
        boxes: of faces; they may leave the frame.
        size: side of the crops in pixels.
        margin: side of the square around a box over the box's longer side.

    Raises:
        VisionError: the frame or a box is none.
    """
    check_luma(luma)
    crops = [cut_square(luma, square_around(box, margin), size) for box in boxes]
    return np.stack(crops) if crops else np.zeros((0, size, size), np.uint8)


def level(crops: Bytes, deviation: float = 48.0) -> Bytes:
    """Return crops (N, H, W) brought to mean 128 and one standard deviation, each by a table of 256 bytes.

    Exposure and contrast are thereby no matter of the nets. The gain is at most 8: a flat crop stays flat.
    """
    values = np.arange(256)
    out = np.empty_like(crops)
    for crop, levelled in zip(crops, out, strict=True):
        counts = np.bincount(crop.reshape(-1), minlength=256)
        total, squares = int(counts @ values), int(counts @ values**2)
        mean = total / crop.size
        variance = (crop.size * squares - total * total) / crop.size**2
        gain = min(deviation / max(variance, 1e-9) ** 0.5, _MOST_GAIN)
        table = np.floor((values - mean) * gain + 128.5).clip(0, 255).astype(np.uint8)
        levelled[:] = table.take(crop)
    return out


def _weights(start: float, side: float, size: int, length: int) -> tuple[npt.NDArray[np.float64], int]:
    """Return integer weights (size, pixels) of the frame's pixels from `first` on, and `first`; rows sum to 2^12."""
    scale = side / size
    reach = max(1.0, scale)
    centres = start + (np.arange(size) + 0.5) * scale - 0.5  # (size,), in indices of pixels
    lowest = np.floor(centres - reach).astype(np.int64)
    indices = lowest[:, None] + np.arange(int(2 * reach) + 3)  # (size, taps)
    shares = np.maximum(0.0, 1.0 - np.abs(indices - centres[:, None]) / reach)
    shares *= _ONE / shares.sum(1, keepdims=True)
    whole = np.floor(shares + 0.5)
    rest = _ONE - whole.sum(1)
    whole[np.arange(size), shares.argmax(1)] += rest
    indices = indices.clip(0, length - 1)
    first, last = int(indices.min()), int(indices.max())
    weights = np.zeros((size, last - first + 1))
    np.add.at(weights, (np.arange(size)[:, None], indices - first), whole)
    return weights, first
