# SPDX-License-Identifier: Apache-2.0
"""Faces cut out of a luma frame as squares of one size: the same integers on every machine.

A pixel of the crop is a weighted mean of the frame. The weights are a triangle as wide as the crop's pixel, or as a pixel of
the frame where that is wider: small faces are interpolated. They are integers over 2^12, so that sums are exact, in any order.

    >>> crop_faces(luma, boxes, size=112, margin=1.2)  # doctest: +SKIP
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from bitlens.vision.records import Box, VisionError, check_luma

__all__ = ["crop_faces", "cut_square", "level", "square_around"]

Bytes = npt.NDArray[np.uint8]
Reals = npt.NDArray[np.float64]
Sums = npt.NDArray[np.uint32]
Square = tuple[float, float, float]

_BITS = 12
_ONE = 1 << _BITS  # the sum of the weights of a pixel, one axis
_HALF = np.uint32(1 << (2 * _BITS - 1))
_MOST_GAIN = 8.0
_VALUES = np.arange(256)


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
    crop: Bytes = _cut_squares(luma, [square], size)[0]
    return crop


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
    return _cut_squares(luma, [square_around(box, margin) for box in boxes], size)


def level(crops: Bytes, deviation: float = 48.0) -> Bytes:
    """Return crops (N, H, W) brought to mean 128 and one standard deviation, each by a table of 256 bytes.

    Exposure and contrast are thereby no matter of the nets. The gain is at most 8: a flat crop stays flat.
    """
    out = np.empty_like(crops)
    for crop, levelled in zip(crops, out, strict=True):
        counts = np.bincount(crop.reshape(-1), minlength=256)
        total, squares = int((counts * _VALUES).sum()), int((counts * _VALUES**2).sum())
        mean = total / crop.size
        variance = (crop.size * squares - total * total) / crop.size**2
        gain = min(deviation / math.sqrt(max(variance, 1e-9)), _MOST_GAIN)
        table = np.minimum(np.maximum(np.floor((_VALUES - mean) * gain + 128.5), 0), 255).astype(np.uint8)
        table.take(crop, out=levelled, mode="clip")
    return out


def _cut_squares(luma: Bytes, squares: Sequence[Square], size: int) -> Bytes:
    """`cut_square` of each, (N, size, size); taps are found for all at once, as numpy's calls cost more than a face's numbers."""
    if not squares:
        return np.zeros((0, size, size), np.uint8)
    places = np.array(squares)
    starts, sides = np.concatenate([places[:, 1], places[:, 0]]), np.concatenate([places[:, 2]] * 2)
    indices, weights = _taps(starts, sides, size, np.repeat(luma.shape, len(squares)))
    firsts, ends = indices[0, :, 0].tolist(), (indices[-1, :, -1] + 1).tolist()
    crops = np.empty((len(squares), size, size), np.uint8)
    for down, crop in enumerate(crops):
        across = down + len(squares)
        window = luma[firsts[down] : ends[down], firsts[across] : ends[across]].astype(np.uint32)  # (h, w)
        rows = _weighted(window, indices[:, down] - firsts[down], weights[:, down])  # (size, w), below 2^20
        sums = _weighted(rows.T, indices[:, across] - firsts[across], weights[:, across])  # (across, down), below 2^32
        crop[...] = (sums.T + _HALF) >> (2 * _BITS)
    return crops


def _weighted(lines: Sums, indices: npt.NDArray[np.int64], weights: Sums) -> Sums:
    """Return the weighted sums (size, w) of lines (h, w), by the taps (taps, size) of each.

    Integers, tap by tap: a product of matrices would begin the threads of numpy's BLAS, which then wait busily for the next.
    A negative weight is its complement to 2^32: the whole sum is right, as it is not negative.
    """
    lines = np.ascontiguousarray(lines)
    sums = np.zeros((indices.shape[1], lines.shape[1]), np.uint32)
    for tap, weight in zip(indices, weights, strict=True):
        if weight.any():  # taps that wider squares bring are 0
            taken = lines.take(tap, 0)
            taken *= weight[:, None]
            sums += taken
    return sums


def _taps(
    starts: Reals, sides: Reals, size: int, lengths: npt.NDArray[np.integer]
) -> tuple[npt.NDArray[np.int64], Sums]:
    """Return the frame's pixels along an axis that a crop's pixel is made of, rising, and their weights: (taps, M, size) each.

    Weights are integers that sum to 2^12 over the taps. Each of the M is what it is by itself.
    """
    scales = (sides / size)[:, None]
    reach = np.maximum(1.0, scales)  # (M, 1)
    centres = starts[:, None] + (np.arange(size) + 0.5) * scales - 0.5  # (M, size), in indices of pixels
    lowest = np.floor(centres - reach).astype(np.int64)
    indices = lowest + np.arange(int(2 * reach.max()) + 3)[:, None, None]
    shares = np.maximum(0.0, 1.0 - np.abs(indices - centres) / reach)
    shares *= _ONE / sum(shares)  # one tap after the other: taps of 0, which wider squares bring, change nothing
    whole = np.floor(shares + 0.5)
    largest = shares.argmax(0)[None]
    np.put_along_axis(whole, largest, np.take_along_axis(whole, largest, 0) + (_ONE - whole.sum(0)), 0)
    highest = np.floor(centres[:, -1:] + reach).astype(np.int64)  # beyond, all is 0
    indices = np.minimum(np.maximum(np.minimum(indices, highest), 0), lengths[:, None] - 1)
    return indices, whole.astype(np.int64).astype(np.uint32)
