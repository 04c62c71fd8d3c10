# SPDX-License-Identifier: Apache-2.0
"""The pose program on persons it never saw, beside a fit to five landmarks.

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
from bitlens.data.faces import FacePicture, LabelledFace, faces
from bitlens.results.persons import over_persons, told
from bitlens.runtime.session import Source
from bitlens.vision.crop import crop_faces
from bitlens.vision.pose import Pose, frontality_of
from bitlens.vision.records import Box

__all__ = ["LandmarkFit", "pose_table", "render_pose"]

Bytes = npt.NDArray[np.uint8]
Reals = npt.NDArray[np.float64]

_SEED = 7
_SHIFT, _SCALE = 0.1, 1.15  # of boxes moved at random: of their longer side, and a factor
_FRONTAL, _TURNED = 15.0, 35.0  # degrees of yaw
_RIDGE = 1e-3


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
        pictures: one a face.
        faces: one each.
        persons: numbers, (N,).
        angles: yaw, pitch, roll, (N, 3), degrees.
    """

    pictures: list[FacePicture]
    faces: list[LabelledFace]
    persons: npt.NDArray[np.int64]
    angles: Reals


def _labelled(pictures: Sequence[FacePicture]) -> Labelled:
    pairs = [(picture, face) for picture in pictures for face in picture.faces if face.pose is not None]
    names = [picture.person or picture.file for picture, _ in pairs]
    _, persons = np.unique(names, return_inverse=True)
    angles = np.array([face.pose for _, face in pairs], np.float64)
    return Labelled([picture for picture, _ in pairs], [face for _, face in pairs], persons, angles)


def _landmarks(labelled: Labelled) -> Reals:
    return np.stack([face.landmarks for face in labelled.faces if face.landmarks is not None]).astype(np.float64)


def pose_table(data: str | Path | None, source: Source | None = None) -> dict[str, Any]:
    """Judge the pose program on the test parts.

    Args:
        data: folder of the face sets.
        source: a compiled `face_pose` program; the one that comes with bitlens when None.

    Returns:
        "milliseconds" (a crop, one thread, levelling included), and "rows": one dict for each set and method with "set",
        "method", "faces", "persons", "yaw", "pitch", "roll", "degrees" (mean errors; the last of yaw and pitch), "auc" as
        [value, low, high], and "frontal", "half", "turned" (mean error of yaw where it is up to 15, between, above 35).

    Raises:
        bitlens.data.DataError: the data is missing or damaged.
    """
    pictures = faces(data, "ytfaces", "helen")
    train = _labelled([p for p in pictures if p.split == "train"])
    fit = LandmarkFit(_landmarks(train), train.angles)
    pose = Pose(source)
    rows, crops = [], np.zeros((0, 0, 0), np.uint8)
    for name in ("ytfaces", "helen"):
        test = _labelled([p for p in pictures if p.split == "test" and p.source == name])
        crops = _crops(test, pose, None)
        methods = {
            "bitlens": _angles(pose, crops),
            "bitlens, boxes moved at random": _angles(pose, _crops(test, pose, np.random.default_rng(_SEED))),
            "fit to five labelled landmarks": fit(_landmarks(test)),
        }
        rows += [{"set": name, "method": method, **_errors(found, test)} for method, found in methods.items()]
    return {"milliseconds": _milliseconds(pose, crops), "rows": rows}


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


def _crops(labelled: Labelled, pose: Pose, rng: np.random.Generator | None) -> Bytes:
    """Cut every face, its box moved at random where a source of chance is given."""
    crops = []
    for picture, face in zip(labelled.pictures, labelled.faces, strict=True):
        box = Box(*face.box)
        if rng is not None:
            scale, longer = _SCALE ** rng.uniform(-1, 1), max(box.width, box.height)
            x, y = np.array(box.centre) + longer * rng.uniform(-_SHIFT, _SHIFT, 2)
            box = Box(x - box.width * scale / 2, y - box.height * scale / 2, box.width * scale, box.height * scale)
        crops.append(crop_faces(picture.luma(), [box], pose.size, pose.margin))
    return np.concatenate(crops)


def _angles(pose: Pose, crops: Bytes) -> Reals:
    found = pose.estimate(crops)
    return np.stack([found.yaw, found.pitch, found.roll], 1)


def _errors(found: Reals, test: Labelled) -> dict[str, Any]:
    wrong, away = np.abs(found - test.angles), np.abs(test.angles[:, 0])
    frontality = frontality_of(found[:, 0], found[:, 1])
    columns = {"yaw": wrong[:, 0], "pitch": wrong[:, 1], "roll": wrong[:, 2], "degrees": wrong[:, :2].mean(1)}
    figures: dict[str, Any] = {name: over_persons(partial(_mean, each), test.persons) for name, each in columns.items()}
    figures["auc"] = over_persons(partial(_frontal_auc, frontality, away), test.persons)
    parts = {"frontal": away <= _FRONTAL, "half": (away > _FRONTAL) & (away <= _TURNED), "turned": away > _TURNED}
    figures |= {name: float(wrong[part, 0].mean()) if part.any() else float("nan") for name, part in parts.items()}
    return {"faces": len(found), "persons": len(np.unique(test.persons)), **figures}


def _mean(values: Reals, chosen: npt.NDArray[np.int64]) -> float:
    return float(values[chosen].mean())


def _frontal_auc(frontality: Reals, away: Reals, chosen: npt.NDArray[np.int64]) -> float:
    frontality, away = frontality[chosen], away[chosen]
    return auc(frontality[away <= _FRONTAL], frontality[away > _TURNED])


def _milliseconds(pose: Pose, crops: Bytes) -> float:
    """The best of some runs over up to 32 crops, a crop."""
    crops, times = crops[:32], []
    for _ in range(5):
        started = time.perf_counter()
        pose.estimate(crops)
        times.append(time.perf_counter() - started)
    return 1000 * min(times) / len(crops)
