# SPDX-License-Identifier: Apache-2.0
"""Clearness of faces, 0 to 100: how much of a sharp picture's detail is there.

>>> clearness = Clearness()
>>> clearness.score(crop_faces(luma, boxes, clearness.size, clearness.margin))  # doctest: +SKIP
array([81.4, 12.9])
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bitlens.vision.crop_net import CropNet

__all__ = ["CLEARNESS_MARGIN", "CLEARNESS_SIZE", "Clearness", "ClearnessFigures"]

Bytes = npt.NDArray[np.uint8]
Reals = npt.NDArray[np.float64]

CLEARNESS_SIZE = 112  # pixels of a crop's side
CLEARNESS_MARGIN = 1.2  # of the square around a face's box


class ClearnessFigures(NamedTuple):
    """What the net says of each crop, (N,) each.

    Args:
        sharpness: 1 without blur, 0 at a Gaussian of 4 pixels of the crop; noise and contrast should not matter to it.
        likeness: structural similarity, 1 at most, to the same face taken sharp and clean.
    """

    sharpness: Reals
    likeness: Reals


class Clearness(CropNet):
    """The clearness net; arguments and errors are those of `CropNet`."""

    name = "face_clearness"
    size = CLEARNESS_SIZE
    margin = CLEARNESS_MARGIN

    def figures(self, crops: Bytes) -> ClearnessFigures:
        """Return sharpness and likeness of crops, uint8 (N, 112, 112) as `crop_faces` cuts them.

        Raises:
            VisionError: they have another shape or type.
        """
        return ClearnessFigures(*self._run(crops, 2))

    def score(self, crops: Bytes) -> Reals:
        """Return the clearness (N,) of crops, 0 to 100: the mean of sharpness and likeness.

        Args:
            crops: uint8 (N, 112, 112) as `crop_faces` cuts them.

        Raises:
            VisionError: they have another shape or type.
        """
        return clearness_of(self.figures(crops))


def clearness_of(figures: ClearnessFigures) -> Reals:
    """Return the score (N,), 0 to 100, of sharpness and likeness."""
    mean: Reals = (figures.sharpness + figures.likeness) / 2
    return (100.0 * mean).clip(0.0, 100.0)
