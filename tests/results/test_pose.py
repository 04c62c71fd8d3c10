# SPDX-License-Identifier: Apache-2.0
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bitlens.data import faces
from bitlens.results.pose import ROWS, LandmarkFit, Posed, detected, errors, posed
from bitlens.vision import Box, Face
from bitlens.vision.crop import crop_faces
from bitlens.vision.pose import Pose
from face_sets import record, write_set

FACE = np.array(
    [[-30.0, -30, 0], [30, -30, 0], [0, 5, -35], [-25, 35, -8], [25, 35, -8]]
)  # x, y, z of eyes, nose, mouth


def seen(angles: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Landmarks (N, 5, 2) of a turned face, somewhere, at some scale."""
    yaw, pitch, roll = np.radians(angles).T
    zero, one = np.zeros_like(yaw), np.ones_like(yaw)
    about_y = np.array([[np.cos(yaw), zero, -np.sin(yaw)], [zero, one, zero], [np.sin(yaw), zero, np.cos(yaw)]])
    about_x = np.array([[one, zero, zero], [zero, np.cos(pitch), np.sin(pitch)], [zero, -np.sin(pitch), np.cos(pitch)]])
    about_z = np.array([[np.cos(roll), -np.sin(roll), zero], [np.sin(roll), np.cos(roll), zero], [zero, zero, one]])
    turned = np.einsum("ijn,jkn,kln,pl->npi", about_z, about_x, about_y, FACE)
    count = len(angles)
    return turned[..., :2] * rng.uniform(0.2, 3, (count, 1, 1)) + rng.uniform(-99, 99, (count, 1, 2))


def test_the_fit_finds_the_angles_of_faces_it_was_not_fitted_to() -> None:
    rng = np.random.default_rng(0)
    angles = rng.uniform(-1, 1, (600, 3)) * np.array([40, 20, 15])
    landmarks = seen(angles, rng)
    fit = LandmarkFit(landmarks[:400], angles[:400])
    assert np.abs(fit(landmarks[400:]) - angles[400:]).mean() < 2
    constant = np.abs(angles[400:] - angles[:400].mean(0)).mean()
    assert constant > 10


POSES = [(-40.0, 3.0, 1.0), (-5.0, 2.0, -3.0), (10.0, -4.0, 0.0), (50.0, 9.0, 6.0), (20.0, 0.0, 0.0)]
BOX = (30, 30, 50, 60)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    lines = [record(f"{split}{n}_0", split, BOX, pose) for split in ("train", "test") for n, pose in enumerate(POSES)]
    write_set(tmp_path, "ytfaces", lines)
    write_set(tmp_path, "helen", [record("A_0", "test", BOX, POSES[1]), record("B_0", "train", BOX, POSES[2])])
    return tmp_path


def test_errors_by_angle_and_part() -> None:
    test = Posed([], [], np.zeros((5, 5, 2)), np.arange(5), np.array(POSES))
    found = np.array(POSES) + np.array([1.0, -2.0, 3.0])
    found[3, 0] += 4
    figures = errors(found, test)
    assert figures["mean error of yaw"][0] == pytest.approx((4 * 1 + 5) / 5)
    assert figures["mean error of pitch"][0] == pytest.approx(2)
    assert figures["mean error of yaw and pitch"][0] == pytest.approx((1.8 + 2) / 2)
    assert figures["mean error of yaw, yaw above 35"] == pytest.approx(3)
    assert (figures["faces, yaw up to 15"], figures["faces, yaw 15 to 35"], figures["faces, yaw above 35"]) == (2, 1, 2)
    assert figures["AUC of frontal against turned"] == [1.0, 1.0, 1.0]
    frontal = errors(np.array(POSES)[1:3], Posed([], [], np.zeros((2, 5, 2)), np.arange(2), np.array(POSES)[1:3]))
    assert frontal["mean error of yaw, yaw above 35"] is None


def test_rows_of_labelled_faces(data: Path) -> None:
    own = ROWS["pose, labelled boxes"](data)
    luma = [p.luma() for p in faces(data, "ytfaces") if p.split == "test"]
    found = Pose().estimate(np.concatenate([crop_faces(picture, [Box(*BOX)], 64, 1.2) for picture in luma]))
    assert own["mean error of yaw, ytfaces"][0] == pytest.approx(
        np.abs(found.yaw - np.array(POSES)[:, 0]).mean(), abs=1e-3
    )
    assert (own["faces, ytfaces"], own["persons, helen"]) == (5, 1)
    moved = ROWS["pose, boxes moved at random"](data)
    assert moved["mean error of yaw, ytfaces"] != own["mean error of yaw, ytfaces"]
    fit = ROWS["pose, fit to five labelled landmarks"](data)
    assert fit["mean error of yaw, ytfaces"][0] < 2  # fitted to the same five poses


class Seer:
    """Finds the labelled face a little aside, and one that is none; in pictures with an even first pixel only the latter."""

    def detect(self, luma: np.ndarray) -> list[Face]:
        box = Box(BOX[0] + 2, BOX[1], BOX[2], BOX[3])
        points = np.array([[45, 54], [65, 54], [55, 66], [47, 78], [62, 78]], np.float32)
        far = Face(Box(100, 100, 20, 20), points + 70, 0.9)
        return [far, Face(box, points, 0.8)] if luma[0, 0] % 2 else [far]


def test_the_faces_that_a_detector_finds(data: Path) -> None:
    pictures = [p for p in faces(data, "ytfaces") if p.split == "test"]
    seen = [number for number, p in enumerate(pictures) if p.luma()[0, 0] % 2]
    assert 0 < len(seen) < len(POSES)
    found = detected(posed(pictures), Seer())  # type: ignore[arg-type]
    assert found.boxes == [Box(BOX[0] + 2, *BOX[1:])] * len(seen)
    assert found.angles.tolist() == [[*POSES[number]] for number in seen]
    assert found.persons.tolist() == seen
    assert found.landmarks[0, 0].tolist() == [45, 54]
    none = detected(posed(pictures), SimpleNamespace(detect=lambda luma: []))  # type: ignore[arg-type]
    assert none.landmarks.shape == (0, 5, 2)
