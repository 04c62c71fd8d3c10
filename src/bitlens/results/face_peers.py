# SPDX-License-Identifier: Apache-2.0
"""Face detectors of others, as peers: OpenCV's Haar cascade, and libfacedetection, the library of YuNet's authors.

Each draws its boxes in its own way; an affine map fitted on training faces makes them the boxes of our labels.
Needs `bitlens[peers]`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.results.detection import Detect, Labelled, corners

__all__ = ["Mapped", "haar", "libfacedetection"]

Bytes = npt.NDArray[np.uint8]
Reals = npt.NDArray[np.float64]

_CASCADE = "haarcascade_frontalface_default.xml"
_STEP, _NEIGHBOURS, _LEAST_PX = 1.1, 3, 20


class Mapped:
    """A detector whose boxes are brought to ours.

    Args:
        detect: gives boxes and scores of a picture.
        training: pictures that the map is fitted on; without any, boxes are the detector's own.

    Attributes:
        affine: left and top, width and height of our box, in widths and heights of the detector's.
    """

    def __init__(self, detect: Detect, training: Sequence[Labelled] = ()) -> None:
        self._detect = detect
        self.affine = self._fitted(training)

    def __call__(self, luma: Bytes) -> tuple[Reals, Reals]:
        """Return boxes (F, 4): left, top, right, bottom, and scores (F,)."""
        boxes, scores = self._detect(luma)
        sizes = boxes[:, 2:] - boxes[:, :2]
        corner = boxes[:, :2] + self.affine[:2] * sizes
        return np.concatenate([corner, corner + self.affine[2:] * sizes], 1), scores

    def _fitted(self, training: Sequence[Labelled]) -> Reals:
        """The medians of where faces lie in the boxes that hold their middles and are less than twice as high."""
        pairs = []
        for picture in training:
            boxes, _ = self._detect(picture.luma)
            for face in picture.boxes:
                x, y = (face[0] + face[2]) / 2, (face[1] + face[3]) / 2
                for left, top, right, bottom in boxes:
                    if left <= x <= right and top <= y <= bottom and bottom - top < 2 * (face[3] - face[1]):
                        size = np.array([right - left, bottom - top])
                        pairs.append([*((face[:2] - (left, top)) / size), *((face[2:] - face[:2]) / size)])
        return np.median(pairs, axis=0) if pairs else np.array([0.0, 0.0, 1.0, 1.0])


def haar() -> Detect:
    """Return OpenCV's cascade of frontal faces with its usual settings: scales 1.1 apart, 3 neighbours, 20 pixels; one thread.

    Scores are the weights of the last stage.
    """
    import cv2

    cv2.setNumThreads(1)
    cascade: Any = cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / _CASCADE))

    def detect(luma: Bytes) -> tuple[Reals, Reals]:
        if min(luma.shape) < _LEAST_PX:
            return np.zeros((0, 4)), np.zeros(0)
        found, _, weights = cascade.detectMultiScale3(
            luma, _STEP, _NEIGHBOURS, minSize=(_LEAST_PX, _LEAST_PX), outputRejectLevels=True
        )
        return corners(np.asarray(found)), np.asarray(weights, np.float64).reshape(-1)

    return detect


def libfacedetection() -> Detect:
    """Return libfacedetection, its net of 8-bit integers compiled into the package `yuface`; one thread. Scores are 0 to 100."""
    os.environ["OMP_NUM_THREADS"] = "1"  # its own OpenMP reads this when it is loaded
    import yuface

    def detect(luma: Bytes) -> tuple[Reals, Reals]:
        coloured = np.repeat(luma[:, :, None], 3, 2)
        scores, boxes, _ = yuface.detect(coloured, 0.0)
        return corners(np.asarray(boxes)), np.asarray(scores, np.float64)

    return detect
