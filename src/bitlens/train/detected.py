# SPDX-License-Identifier: Apache-2.0
"""Figures of a face detector: recall at a number of false alarms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from bitlens.data.agreement import threshold_at
from bitlens.data.faceless import ALLOWED_ALARMS
from bitlens.data.scenes import Scene
from bitlens.vision.decode import Found, decode, overlaps

__all__ = ["detections", "recall", "threshold_of"]

Reals = npt.NDArray[np.float64]

_LEAST_LOGIT = -4.0
_MATCH = 0.5
_LEAST_PX = 20


def detections(maps: Mapping[str, npt.NDArray[np.float32]], least: float = _LEAST_LOGIT) -> Found:
    """Return the faces of one picture's real maps (h, w, 15) by "strideS"."""
    return decode(maps, dict.fromkeys(maps, least), lambda _, cells: cells.astype(np.float64))


def threshold_of(found: Sequence[Found]) -> float:
    """Return the least heat at which pictures without faces give two false alarms in 100, or less; of what is looked at.

    Args:
        found: in each of the pictures.
    """
    heats = np.concatenate([heat for _, _, heat in found])
    return max(_LEAST_LOGIT, threshold_at(heats, len(found), ALLOWED_ALARMS))


def recall(found: Sequence[Found], scenes: Sequence[Scene], threshold: float) -> float:
    """Return the share of faces at least 20 pixels wide that a detection overlaps by half."""
    hits = total = 0
    for (boxes, _, scores), scene in zip(found, scenes, strict=True):
        truth = scene.boxes[scene.boxes[:, 2] >= _LEAST_PX].astype(np.float64)
        total += len(truth)
        if len(truth) and (scores >= threshold).any():
            corners = np.concatenate([truth[:, :2], truth[:, :2] + truth[:, 2:]], 1)
            hits += int((overlaps(corners, boxes[scores >= threshold]).max(1) >= _MATCH).sum())
    return hits / max(total, 1)
