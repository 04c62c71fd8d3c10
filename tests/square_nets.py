# SPDX-License-Identifier: Apache-2.0
"""Nets that take the bright squares of `videos` for faces."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bitlens.camera.options import ScanOptions
from bitlens.vision import Box, Face
from bitlens.vision.face_line import FaceLine
from bitlens.vision.pose import Angles
from videos import LANE, Bytes


class SquareDetector:
    """Finds the bright square of each lane."""

    sure = 0.5

    def detect(self, luma: Bytes) -> list[Face]:
        faces = []
        for top in range(0, luma.shape[0] - luma.shape[0] % LANE or luma.shape[0], LANE):
            rows, columns = np.nonzero(luma[top : top + LANE] > 100)
            if len(rows) > 30:
                left, right = int(columns.min()), int(columns.max()) + 1
                above, below = top + int(rows.min()), top + int(rows.max()) + 1
                box = Box(float(left), float(above), float(right - left), float(below - above))
                faces.append(Face(box, np.full((5, 2), left, np.float32), 0.9))
        return faces


class BrightClearness:
    """The brighter, the clearer."""

    size, margin = 16, 1.0

    def score(self, crops: Bytes) -> npt.NDArray[np.float64]:
        return crops.mean(axis=(1, 2)) / 2.55


class StillPose:
    """Everybody looks into the camera."""

    size, margin = 8, 1.0

    def estimate(self, crops: Bytes) -> Angles:
        zero = np.zeros(len(crops))
        return Angles(zero, zero, zero, zero + 100.0)


def square_line(options: ScanOptions, rate: float, still: bool) -> FaceLine:
    """A line of the nets above."""
    return FaceLine(SquareDetector(), BrightClearness(), StillPose(), **options.parts(rate, still))
