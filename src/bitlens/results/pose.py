# SPDX-License-Identifier: Apache-2.0
"""The pose program on persons it never saw, beside a fit to five landmarks: the labelled ones, and those of our detector.

Labels are derived from 68 landmarks, not measured: what is reported is agreement with them. Intervals are over persons.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bitlens.data.agreement import auc
from bitlens.data.faces import FacePicture, faces
from bitlens.results.persons import over_persons, told
from bitlens.runtime.session import Source
from bitlens.vision.crop import crop_faces
from bitlens.vision.decode import overlaps
from bitlens.vision.detector import FaceDetector
from bitlens.vision.pose import Pose, frontality_of
from bitlens.vision.records import Box

__all__ = ["LandmarkFit", "pose_table", "render_pose"]

Bytes = npt.NDArray[np.uint8]
Reals = npt.NDArray[np.float64]

_SEED = 7
_SHIFT, _SCALE = 0.1, 1.15  # of boxes moved at random: of their longer side, and a factor
_FRONTAL, _TURNED = 15.0, 35.0  # degrees of yaw
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


class Labelled(NamedTuple):
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


def _labelled(pictures: Sequence[FacePicture]) -> Labelled:
    found = [
        (picture, face.box, face.landmarks, face.pose)
        for picture in pictures
        for face in picture.faces
        if face.pose is not None and face.landmarks is not None
    ]
    lumas = {picture.file: picture.luma() for picture, *_ in found}
    _, persons = np.unique([picture.person or picture.file for picture, *_ in found], return_inverse=True)
    return Labelled(
        [lumas[picture.file] for picture, *_ in found],
        [Box(*box) for _, box, _, _ in found],
        np.array([landmarks for _, _, landmarks, _ in found], np.float64),
        persons,
        np.array([pose for *_, pose in found], np.float64),
    )


def detected(labelled: Labelled, detector: FaceDetector) -> Labelled:
    """Return the faces that a detector finds, with its boxes and landmarks and the labelled pose.

    A labelled face is found where the overlap (intersection over union) with a detected one is at least 0.3; the best counts.
    """
    kept, found = [], []
    for number, (luma, box) in enumerate(zip(labelled.lumas, labelled.boxes, strict=True)):
        seen = detector.detect(luma)
        shares = overlaps(_corners([box]), _corners([face.box for face in seen]))[0]
        if len(seen) and shares.max() >= _LEAST_OVERLAP:
            kept.append(number)
            found.append(seen[int(shares.argmax())])
    return Labelled(
        [labelled.lumas[number] for number in kept],
        [face.box for face in found],
        np.array([face.landmarks for face in found], np.float64).reshape(-1, 5, 2),
        labelled.persons[kept],
        labelled.angles[kept],
    )


def pose_table(
    data: str | Path | None, source: Source | None = None, detector: FaceDetector | None = None
) -> dict[str, Any]:
    """Judge the pose program on the test parts.

    Args:
        data: folder of the face sets.
        source: a compiled `face_pose` program; the one that comes with bitlens when None.
        detector: adds two rows on the faces that it finds: our net on its boxes, and the fit to its landmarks.

    Returns:
        "milliseconds" (a crop, one thread, levelling included), and "rows": one dict for each set and method with "set",
        "method", "faces", "persons", "yaw", "pitch", "roll", "degrees" (mean errors; the last of yaw and pitch), "auc" as
        [value, low, high], and "frontal", "half", "turned" (mean error of yaw where it is up to 15, between, above 35).

    Raises:
        bitlens.data.DataError: the data is missing or damaged.
    """
    pictures = faces(data, "ytfaces", "helen")
    train = _labelled([p for p in pictures if p.split == "train"])
    fit = LandmarkFit(train.landmarks, train.angles)
    if detector is not None:
        train = detected(train, detector)
        own_fit = LandmarkFit(train.landmarks, train.angles)
    del train
    pose, rows = Pose(source), []
    for name in ("ytfaces", "helen"):
        test = _labelled([p for p in pictures if p.split == "test" and p.source == name])
        rows.append(_row(name, "bitlens", _angles(pose, test), test))
        rows.append(_row(name, "bitlens, boxes moved at random", _angles(pose, _moved(test)), test))
        rows.append(_row(name, "fit to five labelled landmarks", fit(test.landmarks), test))
        if detector is not None:
            test = detected(test, detector)
            rows.append(_row(name, "bitlens, boxes of our detector", _angles(pose, test), test))
            rows.append(_row(name, "fit to five landmarks of our detector", own_fit(test.landmarks), test))
    return {"milliseconds": _milliseconds(pose), "rows": rows}


def render_pose(report: dict[str, Any]) -> str:
    """Return the table as Markdown: mean errors in degrees, and what 95 of 100 draws of persons give."""
    head = "| set | method | yaw | pitch | roll | yaw and pitch | AUC frontal against turned | yaw: frontal / half / turned |"
    lines = [
        f"| {row['set']}, {row['faces']} faces of {row['persons']} persons | {row['method']} | "
        + " | ".join(told(row[key], 2) for key in ("yaw", "pitch", "roll", "degrees"))
        + f" | {told(row['auc'], 3)} | {row['frontal']:.1f} / {row['half']:.1f} / {row['turned']:.1f} |"
        for row in report["rows"]
    ]
    return "\n".join([f"{report['milliseconds']:.2f} ms a crop, one thread", "", head, "|---" * 8 + "|", *lines])


def _corners(boxes: Sequence[Box]) -> Reals:
    return np.array([(box.left, box.top, box.right, box.bottom) for box in boxes], np.float64).reshape(-1, 4)


def _moved(labelled: Labelled) -> Labelled:
    """Move every box at random by up to 10 % of its longer side and scale it by up to 15 %."""
    rng, boxes = np.random.default_rng(_SEED), []
    for box in labelled.boxes:
        scale, longer = _SCALE ** rng.uniform(-1, 1), max(box.width, box.height)
        x, y = np.array(box.centre) + longer * rng.uniform(-_SHIFT, _SHIFT, 2)
        width, height = box.width * scale, box.height * scale
        boxes.append(Box(float(x) - width / 2, float(y) - height / 2, width, height))
    return labelled._replace(boxes=boxes)


def _angles(pose: Pose, labelled: Labelled) -> Reals:
    pairs = zip(labelled.lumas, labelled.boxes, strict=True)
    crops = [crop_faces(luma, [box], pose.size, pose.margin) for luma, box in pairs]
    found = pose.estimate(np.concatenate(crops) if crops else np.zeros((0, pose.size, pose.size), np.uint8))
    return np.stack([found.yaw, found.pitch, found.roll], 1)


def _row(name: str, method: str, found: Reals, test: Labelled) -> dict[str, Any]:
    wrong, away = np.abs(found - test.angles), np.abs(test.angles[:, 0])
    frontality = frontality_of(found[:, 0], found[:, 1])
    columns = {"yaw": wrong[:, 0], "pitch": wrong[:, 1], "roll": wrong[:, 2], "degrees": wrong[:, :2].mean(1)}
    figures: dict[str, Any] = {name: over_persons(partial(_mean, each), test.persons) for name, each in columns.items()}
    figures["auc"] = over_persons(partial(_frontal_auc, frontality, away), test.persons)
    parts = {"frontal": away <= _FRONTAL, "half": (away > _FRONTAL) & (away <= _TURNED), "turned": away > _TURNED}
    figures |= {name: float(wrong[part, 0].mean()) if part.any() else float("nan") for name, part in parts.items()}
    counts = {"faces": len(found), "persons": len(np.unique(test.persons))}
    return {"set": name, "method": method, **counts, **figures}


def _mean(values: Reals, chosen: npt.NDArray[np.int64]) -> float:
    return float(values[chosen].mean())


def _frontal_auc(frontality: Reals, away: Reals, chosen: npt.NDArray[np.int64]) -> float:
    frontality, away = frontality[chosen], away[chosen]
    return auc(frontality[away <= _FRONTAL], frontality[away > _TURNED])


def _milliseconds(pose: Pose) -> float:
    """The best of some runs over 32 crops, a crop."""
    crops, times = np.random.default_rng(0).integers(0, 256, (32, pose.size, pose.size)).astype(np.uint8), []
    for _ in range(5):
        started = time.perf_counter()
        pose.estimate(crops)
        times.append(time.perf_counter() - started)
    return 1000 * min(times) / len(crops)
