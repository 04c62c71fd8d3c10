# SPDX-License-Identifier: Apache-2.0
"""Clearness of faces, 0 to 100: how much of a sharp picture's detail is there.

>>> clearness = Clearness()
>>> clearness.score(crop_faces(luma, boxes, clearness.size, clearness.margin))  # doctest: +SKIP
array([81.4, 12.9])
"""

from __future__ import annotations

from importlib.resources import files
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bitlens.runtime import Session
from bitlens.runtime.session import Source
from bitlens.vision.crop import level
from bitlens.vision.records import VisionError

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


class Clearness:
    """The clearness net.

    Args:
        source: a compiled `face_clearness` program; None: the one that comes with bitlens.
        threads: of the engine.

    Raises:
        bitlens.runtime.SessionError: the program is damaged.
        OSError: it cannot be read.
    """

    size = CLEARNESS_SIZE
    margin = CLEARNESS_MARGIN

    def __init__(self, source: Source | None = None, threads: int | None = 1) -> None:
        found = shipped("face_clearness") if source is None else source
        self.session = Session(found, threads=threads)

    def figures(self, crops: Bytes) -> ClearnessFigures:
        """Return sharpness and likeness of crops, uint8 (N, 112, 112) as `crop_faces` cuts them.

        Raises:
            VisionError: they have another shape or type.
        """
        if crops.dtype != np.uint8 or crops.shape[1:] != (self.size, self.size):
            raise VisionError(
                f"crops: must be uint8 (N, {self.size}, {self.size}), not {crops.dtype} {tuple(crops.shape)}"
            )
        if not len(crops):
            return ClearnessFigures(np.zeros(0), np.zeros(0))
        (found,) = self.session.run(level(crops)[..., None], real=True).values()  # (N, 1, 1, 2)
        sharpness, likeness = found.reshape(-1, 2).astype(np.float64).T
        return ClearnessFigures(sharpness, likeness)

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


def shipped(name: str) -> bytes:
    """Return a program that comes with bitlens."""
    return (files("bitlens.vision") / "models" / f"{name}.bitlens").read_bytes()
