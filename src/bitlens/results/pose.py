# SPDX-License-Identifier: Apache-2.0
"""The pose program on persons it never saw, beside a fit to five landmarks: the labelled ones, and those of our detector.

Labels are derived from 68 landmarks, not measured: what is reported is agreement with them. Intervals are over persons.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bitlens.data.agreement import FRONTAL_DEGREES, TURNED_DEGREES, frontal_auc
from bitlens.data.faces import FacePicture, faces
from bitlens.results.detection import box_corners
from bitlens.results.persons import milliseconds, over_persons
from bitlens.vision.crop import crop_faces
from bitlens.vision.decode import overlaps
from bitlens.vision.detector import FaceDetector
from bitlens.vision.pose import Pose, frontality_of
from bitlens.vision.records import Box

__all__ = ["ROWS", "LandmarkFit", "Posed", "detected", "errors", "posed"]

Bytes = npt.NDArray[np.uint8]
Reals = npt.NDArray[np.float64]

_SETS = ("ytfaces", "helen")
_SEED = 7
_SHIFT, _SCALE = 0.1, 1.15  # of boxes moved at random: of their longer side, and a factor
_RIDGE = 1e-3
_LEAST_OVERLAP = 0.3


class LandmarkFit:
    """Yaw, pitch and roll by least squares from the products of five landmarks, two at a time.

    Landmarks are taken relative to their mean, in units of their spread.

    Args:
        landmarks: (N, 5, 2) to fit to.
        angles: (N, 3).
    """

    def __init__(self, landmarks: Reals, angles: Reals) -> None:
        features = _products(landmarks)
        square = features.T @ features / len(features) + _RIDGE * np.eye(features.shape[1])
        self.weights = np.linalg.solve(square, features.T @ angles / len(features))  # (features, 3)

    def __call__(self, landmarks: Reals) -> Reals:
        """Return the angles (N, 3) of landmarks (N, 5, 2)."""
        found: Reals = _products(landmarks) @ self.weights
        return found


def _products(landmarks: Reals) -> Reals:
    """Return 1, the coordinates and their products, (N, 66)."""
    centred = landmarks - landmarks.mean(1, keepdims=True)
    unit = np.sqrt((centred**2).sum(2).mean(1))[:, None]
    flat = centred.reshape(len(centred), 10) / unit
    whole = np.hstack([np.ones((len(flat), 1)), flat])  # (N, 11)
    rows, columns = np.triu_indices(whole.shape[1])
    products: Reals = whole[:, rows] * whole[:, columns]
    return products


class Posed(NamedTuple):
    """Faces with a pose.

    Args:
        lumas: the picture of each, uint8 (H, W).
        boxes: one each.
        landmarks: (N, 5, 2).
        persons: numbers, (N,).
        angles: yaw, pitch, roll, (N, 3), degrees.
    """

    lumas: list[Bytes]
    boxes: list[Box]
    landmarks: Reals
    persons: npt.NDArray[np.int64]
    angles: Reals


def posed(pictures: Sequence[FacePicture]) -> Posed:
    """Return the faces of pictures that have a pose and landmarks."""
    found = [
        (picture, face.box, face.landmarks, face.pose)
        for picture in pictures
        for face in picture.faces
        if face.pose is not None and face.landmarks is not None
    ]
    lumas = {picture.file: picture.luma() for picture, *_ in found}
    _, persons = np.unique([picture.person or picture.file for picture, *_ in found], return_inverse=True)
    return Posed(
        [lumas[picture.file] for picture, *_ in found],
        [Box(*box) for _, box, _, _ in found],
        np.array([landmarks for _, _, landmarks, _ in found], np.float64),
        persons,
        np.array([pose for *_, pose in found], np.float64),
    )


def detected(known: Posed, detector: FaceDetector) -> Posed:
    """Return the faces that a detector finds, with its boxes and landmarks and the labelled pose.

    A labelled face is found where the overlap (intersection over union) with a detected one is at least 0.3; the best counts.
    """
    kept, found = [], []
    for number, (luma, box) in enumerate(zip(known.lumas, known.boxes, strict=True)):
        seen = detector.detect(luma)
        shares = overlaps(box_corners([box]), box_corners(face.box for face in seen))[0]
        if len(seen) and shares.max() >= _LEAST_OVERLAP:
            kept.append(number)
            found.append(seen[int(shares.argmax())])
    return Posed(
        [known.lumas[number] for number in kept],
        [face.box for face in found],
        np.array([face.landmarks for face in found], np.float64).reshape(-1, 5, 2),
        known.persons[kept],
        known.angles[kept],
    )


@lru_cache(maxsize=1)
def _all_labelled(data: Path | None) -> dict[str, Posed]:
    pictures = faces(data, *_SETS)
    parts = {"train": [p for p in pictures if p.split == "train"]}
    parts |= {name: [p for p in pictures if p.split == "test" and p.source == name] for name in _SETS}
    return {name: posed(part) for name, part in parts.items()}


@lru_cache(maxsize=1)
def _all_detected(data: Path | None) -> dict[str, Posed]:
    detector = FaceDetector(threads=1)
    return {name: detected(part, detector) for name, part in _all_labelled(data).items()}


def _moved(known: Posed) -> Posed:
    """Move every box at random by up to 10 % of its longer side and scale it by up to 15 %."""
    rng, boxes = np.random.default_rng(_SEED), []
    for box in known.boxes:
        scale, longer = _SCALE ** rng.uniform(-1, 1), max(box.width, box.height)
        x, y = np.array(box.centre) + longer * rng.uniform(-_SHIFT, _SHIFT, 2)
        width, height = box.width * scale, box.height * scale
        boxes.append(Box(float(x) - width / 2, float(y) - height / 2, width, height))
    return known._replace(boxes=boxes)


def _angles(pose: Pose, known: Posed) -> Reals:
    pairs = zip(known.lumas, known.boxes, strict=True)
    crops = [crop_faces(luma, [box], pose.size, pose.margin) for luma, box in pairs]
    found = pose.estimate(np.concatenate(crops) if crops else np.zeros((0, pose.size, pose.size), np.uint8))
    return np.stack([found.yaw, found.pitch, found.roll], 1)


def errors(found: Reals, test: Posed) -> dict[str, Any]:
    """Return the mean errors of angles (N, 3) in degrees and the AUC of frontality, each [value, low, high] over persons."""
    wrong, away = np.abs(found - test.angles), np.abs(test.angles[:, 0])
    frontality = frontality_of(found[:, 0], found[:, 1])
    columns = {"yaw": wrong[:, 0], "pitch": wrong[:, 1], "roll": wrong[:, 2], "yaw and pitch": wrong[:, :2].mean(1)}
    parts = {
        "up to 15": away <= FRONTAL_DEGREES,
        "15 to 35": (away > FRONTAL_DEGREES) & (away <= TURNED_DEGREES),
        "above 35": away > TURNED_DEGREES,
    }
    figures: dict[str, Any] = {"faces": len(found), "persons": len(np.unique(test.persons))}
    for name, each in columns.items():
        figures[f"mean error of {name}"] = over_persons(partial(_mean, each), test.persons)
    figures["AUC of frontal against turned"] = over_persons(partial(_frontal_auc, frontality, away), test.persons)
    for name, part in parts.items():
        figures[f"mean error of yaw, yaw {name}"] = round(float(wrong[part, 0].mean()), 4) if part.any() else None
        figures[f"faces, yaw {name}"] = int(part.sum())
    return figures


def _mean(values: Reals, chosen: npt.NDArray[np.int64]) -> float:
    return float(values[chosen].mean())


def _frontal_auc(frontality: Reals, away: Reals, chosen: npt.NDArray[np.int64]) -> float:
    return frontal_auc(frontality[chosen], away[chosen])


def _row(
    angles: Callable[[Posed, Posed], Reals],
    prepare: Callable[[Path | None], dict[str, Posed]] = _all_labelled,
) -> Callable[[Path | None], dict[str, Any]]:
    """A row of both sets; `angles` is of (training part, test part)."""

    def measure(data: Path | None) -> dict[str, Any]:
        parts = prepare(data)
        return {
            f"{metric}, {name}": value
            for name in _SETS
            for metric, value in errors(angles(parts["train"], parts[name]), parts[name]).items()
        }

    return measure


def _speed(data: Path | None) -> dict[str, Any]:
    pose = Pose()
    crop = np.random.default_rng(0).integers(0, 256, (1, pose.size, pose.size)).astype(np.uint8)
    return milliseconds(lambda: pose.estimate(crop))


def _fitted(train: Posed, test: Posed) -> Reals:
    return LandmarkFit(train.landmarks, train.angles)(test.landmarks)


ROWS: dict[str, Callable[[Path | None], dict[str, Any]]] = {
    "pose, labelled boxes": _row(lambda train, test: _angles(Pose(), test)),
    "pose, boxes moved at random": _row(lambda train, test: _angles(Pose(), _moved(test))),
    "pose, boxes of our detector": _row(lambda train, test: _angles(Pose(), test), _all_detected),
    "pose, fit to five landmarks of our detector": _row(_fitted, _all_detected),
    "pose, fit to five labelled landmarks": _row(_fitted),
    "pose, speed": _speed,
}
