# SPDX-License-Identifier: Apache-2.0
"""Squares cut out of pictures of any size: at random for training, from the middle for testing.

A box is (left, top, right, bottom) in pixels of the picture; `cut` scales what is in it.

    >>> cut(picture, random_box(*picture.size, rng), 224)
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Box", "central_box", "cut", "random_box"]

Box = tuple[float, float, float, float]
_AREA = (0.08, 1.0)  # share of the picture
_RATIO = (3 / 4, 4 / 3)  # width to height, uniform in its logarithm
_TRIES = 10


def random_box(width: int, height: int, rng: np.random.Generator) -> Box:
    """Return a box of random area, ratio and place; where none fits, the largest central one of a ratio allowed.

    Source: Szegedy et al., Going Deeper with Convolutions, arXiv 1409.4842 section 6.
    """
    for _ in range(_TRIES):
        area = width * height * rng.uniform(*_AREA)
        ratio = math.exp(rng.uniform(math.log(_RATIO[0]), math.log(_RATIO[1])))
        across, down = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < across <= width and 0 < down <= height:
            left, top = int(rng.integers(0, width - across + 1)), int(rng.integers(0, height - down + 1))
            return left, top, left + across, top + down
    across = min(width, max(1, round(height * _RATIO[1])))
    down = min(height, max(1, round(width / _RATIO[0])))
    left, top = (width - across) // 2, (height - down) // 2
    return left, top, left + across, top + down


def central_box(width: int, height: int, size: int) -> Box:
    """Return the box that `cut` scales to the middle square of a picture scaled to 256/224 of `size`.

    In steps: the shorter side is scaled to round(256/224 size), the longer one with it, rounded down; of that picture
    the middle square of `size` is meant; the box is that square, in pixels of the unscaled picture.
    """
    short = round(size * 256 / 224)
    scaled = [short * side // min(width, height) for side in (width, height)]
    left, top = (round((side - size) / 2) for side in scaled)
    x, y = width / scaled[0], height / scaled[1]
    return left * x, top * y, min((left + size) * x, width), min((top + size) * y, height)


def cut(picture: Image.Image, box: Box, size: int) -> npt.NDArray[np.uint8]:
    """Return what is in a box of an RGB picture, scaled bilinearly, uint8 (size, size, 3)."""
    from PIL import Image

    return np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR, box))
