# SPDX-License-Identifier: Apache-2.0
"""How well faces are found: detections matched to labels, average precision, recall and false alarms at a threshold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt

from bitlens.data.agreement import threshold_at
from bitlens.results.persons import over_persons
from bitlens.vision import Box
from bitlens.vision.decode import overlaps

__all__ = [
    "Detect",
    "Judged",
    "Labelled",
    "average_precision",
    "box_corners",
    "corners",
    "false_alarms",
    "fixed_threshold",
    "judge",
    "recall",
]

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]
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
        person: whose picture it is; pictures of one person say less than as many of several. "": of nobody else.
    """

    luma: Bytes
    boxes: Reals = field(default_factory=_nothing)
    others: Reals = field(default_factory=_nothing)
    complete: bool = True
    person: str = ""


@dataclass(frozen=True)
class Judged:
    """Detections in a set of P pictures.

    Args:
        scores: of those that count, (D,).
        hits: whether each is a face, (D,); the rest are false alarms.
        pictures: the number of the picture of each, (D,).
        faces: that were asked for in each picture, (P,).
        persons: of each picture, numbers, (P,).
    """

    scores: Reals
    hits: npt.NDArray[np.bool_]
    pictures: Numbers
    faces: Numbers
    persons: Numbers

    def __add__(self, other: Judged) -> Judged:
        """Both sets as one, of different persons."""
        pictures, persons = len(self.faces), int(self.persons.max(initial=-1)) + 1
        return Judged(
            np.concatenate([self.scores, other.scores]),
            np.concatenate([self.hits, other.hits]),
            np.concatenate([self.pictures, other.pictures + pictures]),
            np.concatenate([self.faces, other.faces]),
            np.concatenate([self.persons, other.persons + persons]),
        )


def judge(detect: Detect, pictures: Iterable[Labelled]) -> Judged:
    """Match detections to faces, the surest first, each face once, by an intersection over union of at least a half.

    A detection that matches no face counts neither way where its middle lies in one of the `others`, or where a picture is
    not completely labelled.
    """
    scores: list[float] = []
    hits: list[bool] = []
    places: list[int] = []
    faces: list[int] = []
    persons: list[str] = []
    for number, picture in enumerate(pictures):
        boxes, heat = detect(picture.luma)
        faces.append(len(picture.boxes))
        persons.append(picture.person or f"{number}")
        shared = overlaps(boxes, picture.boxes)
        free = np.ones(len(picture.boxes), bool)
        for i in np.argsort(-heat, kind="stable"):
            best = int(np.argmax(np.where(free, shared[i], -1))) if len(free) else 0
            hit = bool(len(free)) and bool(free[best]) and bool(shared[i, best] >= _MATCH)
            if hit:
                free[best] = False
            elif not picture.complete or _within(boxes[i], picture.others):
                continue
            scores.append(float(heat[i]))
            hits.append(hit)
            places.append(number)
    _, whose = np.unique(persons, return_inverse=True)
    return Judged(np.array(scores), np.array(hits, bool), np.array(places, int), np.array(faces, int), whose)


def fixed_threshold(detect: Detect, views: Iterable[Bytes], alarms: float) -> float:
    """Return the least score at which pictures without faces have at most so many false alarms each, on average."""
    judged = judge(detect, map(Labelled, views))
    return threshold_at(judged.scores, len(judged.faces), alarms)


def recall(judged: Judged, threshold: float) -> list[float]:
    """Return the share of faces that are found with at least a score, [value, low, high] over persons."""
    found = np.bincount(judged.pictures[judged.hits & (judged.scores >= threshold)], minlength=len(judged.faces))
    return over_persons(partial(_ratio, found, judged.faces), judged.persons)


def false_alarms(judged: Judged, threshold: float) -> int:
    """Return how many detections with at least a score are no faces."""
    return int((~judged.hits & (judged.scores >= threshold)).sum())


def _ratio(found: Numbers, faces: Numbers, chosen: Numbers) -> float:
    return float(found[chosen].sum() / max(int(faces[chosen].sum()), 1))


def average_precision(judged: Judged) -> float:
    """Return the area under the curve of precision over recall, precision being the best at that recall or above."""
    order = np.argsort(-judged.scores, kind="stable")
    hits = judged.hits[order].cumsum()
    precision = hits / np.arange(1, len(hits) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best[judged.hits[order]].sum() / max(int(judged.faces.sum()), 1))


def _within(box: Reals, regions: Reals) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return bool(((regions[:, 0] <= x) & (x <= regions[:, 2]) & (regions[:, 1] <= y) & (y <= regions[:, 3])).any())


def corners(boxes: Sequence[Sequence[float]] | npt.NDArray[np.floating]) -> Reals:
    """Return left, top, right, bottom (F, 4) of left, top, width, height."""
    found = np.array(boxes, np.float64).reshape(-1, 4)
    found[:, 2:] += found[:, :2]
    return found


def box_corners(boxes: Iterable[Box]) -> Reals:
    """Return left, top, right, bottom (F, 4) of boxes."""
    return np.array([box.corners for box in boxes], np.float64).reshape(-1, 4)
