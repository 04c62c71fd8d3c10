# SPDX-License-Identifier: Apache-2.0
"""How well faces are found: detections matched to labels, average precision, recall at a number of false alarms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bitlens.vision.decode import overlaps

__all__ = ["Detect", "Judged", "Labelled", "average_precision", "corners", "judge", "recall_at", "threshold_at"]

Bytes = npt.NDArray[np.uint8]
Reals = npt.NDArray[np.float64]
Detect = Callable[[Bytes], tuple[Reals, Reals]]  # luma (H, W) -> boxes (F, 4): left, top, right, bottom; scores (F,)

_MATCH = 0.5  # least intersection over union


def _nothing() -> Reals:
    return np.zeros((0, 4))


@dataclass(frozen=True)
class Labelled:
    """A picture and its faces.

    Args:
        luma: uint8 (H, W).
        boxes: of the faces that are asked for, (F, 4): left, top, right, bottom.
        others: faces and regions where a detection counts neither way, (K, 4).
        complete: whether a detection anywhere else is a false alarm.
    """

    luma: Bytes
    boxes: Reals = field(default_factory=_nothing)
    others: Reals = field(default_factory=_nothing)
    complete: bool = True


@dataclass(frozen=True)
class Judged:
    """Detections in a set of pictures.

    Args:
        scores: of those that count, (D,).
        hits: whether each is a face, (D,); the rest are false alarms.
        faces: that were asked for.
        pictures: in which they were.
    """

    scores: Reals
    hits: npt.NDArray[np.bool_]
    faces: int
    pictures: int

    def __add__(self, other: Judged) -> Judged:
        """Both sets as one."""
        return Judged(
            np.concatenate([self.scores, other.scores]),
            np.concatenate([self.hits, other.hits]),
            self.faces + other.faces,
            self.pictures + other.pictures,
        )


def judge(detect: Detect, pictures: Iterable[Labelled]) -> Judged:
    """Match detections to faces, the surest first, each face once, by an intersection over union of at least a half.

    A detection that matches no face counts neither way where its middle lies in one of the `others`, or where a picture is
    not completely labelled.
    """
    scores, hits, faces, count = [], [], 0, 0
    for picture in pictures:
        boxes, heat = detect(picture.luma)
        faces, count = faces + len(picture.boxes), count + 1
        shared = overlaps(boxes, picture.boxes)
        free = np.ones(len(picture.boxes), bool)
        for i in np.argsort(-heat, kind="stable"):
            best = int(np.argmax(np.where(free, shared[i], -1))) if len(free) else 0
            hit = bool(len(free)) and bool(free[best]) and shared[i, best] >= _MATCH
            if hit:
                free[best] = False
            elif not picture.complete or _within(boxes[i], picture.others):
                continue
            scores.append(float(heat[i]))
            hits.append(hit)
    return Judged(np.array(scores), np.array(hits, bool), faces, count)


def threshold_at(empty: Judged, alarms: float) -> float:
    """Return the least score at which pictures without faces have at most so many false alarms each, on average."""
    ranked = np.sort(empty.scores)[::-1]
    most = int(alarms * empty.pictures + 1e-9)
    return float(np.nextafter(ranked[most], np.inf)) if len(ranked) > most else -np.inf


def recall_at(judged: Judged, threshold: float) -> float:
    """Return the share of faces that are found with at least a score."""
    return float((judged.hits & (judged.scores >= threshold)).sum() / max(judged.faces, 1))


def average_precision(judged: Judged) -> float:
    """Return the area under the curve of precision over recall, precision being the best at that recall or above."""
    order = np.argsort(-judged.scores, kind="stable")
    hits = judged.hits[order].cumsum()
    precision = hits / np.arange(1, len(hits) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best[judged.hits[order]].sum() / max(judged.faces, 1))


def _within(box: Reals, regions: Reals) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return bool(((regions[:, 0] <= x) & (x <= regions[:, 2]) & (regions[:, 1] <= y) & (y <= regions[:, 3])).any())


def corners(boxes: Sequence[Sequence[float]] | npt.NDArray[np.floating]) -> Reals:
    """Return left, top, right, bottom (F, 4) of left, top, width, height."""
    found = np.array(boxes, np.float64).reshape(-1, 4)
    found[:, 2:] += found[:, :2]
    return found
