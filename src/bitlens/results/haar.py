# SPDX-License-Identifier: Apache-2.0
"""OpenCV's Haar cascade of frontal faces, as a peer of the detector.

Its boxes are squares around the inner face; an affine map fitted on training faces makes them the boxes of our labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.results.detection import Labelled

__all__ = ["Haar"]

Bytes = npt.NDArray[np.uint8]
Reals = npt.NDArray[np.float64]

_CASCADE = "haarcascade_frontalface_default.xml"
_STEP, _NEIGHBOURS, _LEAST_PX = 1.1, 3, 20


class Haar:
    """Calls OpenCV with its usual settings: scales 1.1 apart, 3 neighbours, 20 pixels.

    Args:
        training: pictures that the affine map is fitted on; without any, boxes are OpenCV's own.
    """

    def __init__(self, training: Sequence[Labelled] = ()) -> None:
        import cv2

        cv2.setNumThreads(1)
        self.cascade: Any = cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / _CASCADE))
        self.affine = np.array([0.0, 0.0, 1.0, 1.0])  # left and top in sides, width and height in sides
        if training:
            self.affine = self._fitted(training)

    def detect(self, luma: Bytes) -> tuple[Reals, Reals]:
        """Return boxes (F, 4): left, top, right, bottom, and the weights of the last stage (F,)."""
        if min(luma.shape) < _LEAST_PX:
            return np.zeros((0, 4)), np.zeros(0)
        found, _, weights = self.cascade.detectMultiScale3(
            luma, _STEP, _NEIGHBOURS, minSize=(_LEAST_PX, _LEAST_PX), outputRejectLevels=True
        )
        squares = np.asarray(found, np.float64).reshape(-1, 4)
        sides = squares[:, 2:3]
        corner = squares[:, :2] + self.affine[:2] * sides
        return np.concatenate([corner, corner + self.affine[2:] * sides], 1), np.asarray(weights, np.float64).reshape(
            -1
        )

    def _fitted(self, training: Sequence[Labelled]) -> Reals:
        """The medians of where faces lie in the squares that hold their middles."""
        pairs = []
        for picture in training:
            squares, _ = self.detect(picture.luma)
            for box in picture.boxes:
                x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
                for square in squares:
                    side = square[2] - square[0]
                    if square[0] <= x <= square[2] and square[1] <= y <= square[3] and side < 2 * (box[3] - box[1]):
                        size = box[2:] - box[:2]
                        pairs.append([*((box[:2] - square[:2]) / side), *(size / side)])
        return np.median(pairs, axis=0) if pairs else self.affine
