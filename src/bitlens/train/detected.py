# SPDX-License-Identifier: Apache-2.0
"""Figures of a face detector: recall at a number of false alarms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from bitlens.data.scenes import Scene
from bitlens.vision.decode import Found, decode, overlaps

__all__ = ["allowed_threshold", "detections", "recall"]

Reals = npt.NDArray[np.float64]

_LEAST_LOGIT = -4.0
_ALLOWED = 0.02  # false alarms a picture
_MATCH = 0.5
_LEAST_PX = 20


def detections(maps: Mapping[str, npt.NDArray[np.float32]], least: float = _LEAST_LOGIT) -> Found:
    """Return the faces of one picture's real maps (h, w, 15) by "strideS"."""
    return decode(maps, dict.fromkeys(maps, least), lambda _, cells: cells.astype(np.float64))


def allowed_threshold(scores: Sequence[Reals], pictures: int, allowed: float = _ALLOWED) -> float:
    """Return the least threshold at which pictures without faces give at most `allowed` detections each, on average."""
    ranked = np.sort(np.concatenate([*scores, np.zeros(0)]))[::-1]
    most = int(allowed * pictures)
    return float(np.nextafter(ranked[most], np.inf)) if len(ranked) > most else _LEAST_LOGIT


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
