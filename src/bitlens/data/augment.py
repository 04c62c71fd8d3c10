# SPDX-License-Identifier: Apache-2.0
"""Placing images on a larger canvas of zeros: at random for training, centred for testing.

A 32x32 image at a random place of a 40x40 canvas is the usual "pad 4 and crop" without losing a border. The other way
round, a canvas of 56 with a margin of 8 on each side is 72 wide: its middle is a random crop of 56 out of 64.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["centred", "random_places", "scattered"]

_UInt8 = npt.NDArray[np.uint8]
_Numbers = npt.NDArray[np.int64]


def centred(images: _UInt8, size: int) -> _UInt8:
    """Put images (N, H, W, C) into the middle of (N, size, size, C); an odd rest goes to the bottom and right.

    Of a larger image the middle is taken.
    """
    n, height, width, channels = images.shape
    top, left = (max(side - size, 0) // 2 for side in (height, width))
    images = images[:, top : top + size, left : left + size]
    height, width = images.shape[1:3]
    out = np.zeros((n, size, size, channels), np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    out[:, top : top + height, left : left + width] = images
    return out


def random_places(
    count: int, sides: tuple[int, int], size: int, rng: np.random.Generator, flip: bool
) -> tuple[_Numbers, _Numbers, _Numbers]:
    """Draw where images go on a canvas.

    Args:
        count: of the images.
        sides: their height and width.
        size: side of the canvas, at least as large.
        rng: source of the places.
        flip: mirror every other image left to right, by chance.

    Returns:
        (rows above them, columns left of them, 1 where mirrored), (count,) each.
    """
    height, width = sides
    tops = rng.integers(0, size - height + 1, count)
    lefts = rng.integers(0, size - width + 1, count)
    return tops, lefts, np.less(rng.random(count), 0.5 if flip else 0.0).astype(np.int64)


def scattered(images: _UInt8, size: int, rng: np.random.Generator, flip: bool) -> _UInt8:
    """Put images (N, H, W, C) at random places of (N, size, size, C); see `random_places`."""
    n, height, width, channels = images.shape
    out = np.zeros((n, size, size, channels), np.uint8)
    tops, lefts, mirrored = random_places(n, (height, width), size, rng, flip)
    for i in range(n):
        image = images[i, :, ::-1] if mirrored[i] else images[i]
        out[i, tops[i] : tops[i] + height, lefts[i] : lefts[i] + width] = image
    return out
