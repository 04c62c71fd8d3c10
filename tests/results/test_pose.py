# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import pytest

from bitlens.data import faces
from bitlens.results.pose import LandmarkFit, pose_table, render_pose
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


def test_the_table(data: Path) -> None:
    report = pose_table(data)
    assert [(row["set"], row["method"]) for row in report["rows"][:4]] == [
        ("ytfaces", "bitlens"),
        ("ytfaces", "bitlens, boxes moved at random"),
        ("ytfaces", "fit to five labelled landmarks"),
        ("helen", "bitlens"),
    ]
    own = report["rows"][0]
    assert (own["faces"], own["persons"]) == (5, 5)
    luma = [p.luma() for p in faces(data, "ytfaces") if p.split == "test"]
    found = Pose().estimate(np.concatenate([crop_faces(picture, [Box(*BOX)], 64, 1.2) for picture in luma]))
    wrong = np.abs(found.yaw - np.array(POSES)[:, 0])
    assert own["yaw"][0] == pytest.approx(wrong.mean(), abs=1e-3)
    assert own["turned"] == pytest.approx(wrong[[0, 3]].mean())
    assert own["half"] == pytest.approx(wrong[4])
    assert own["degrees"][0] == pytest.approx((own["yaw"][0] + own["pitch"][0]) / 2, abs=1e-3)
    assert np.isnan(report["rows"][3]["turned"])
    text = render_pose(report).splitlines()
    assert len(text) == 4 + 6
    assert text[4].startswith("| ytfaces, 5 faces of 5 persons | bitlens | ")


class Seer:
    """Finds the labelled face a little aside, and one that is none; in dark pictures nothing."""

    def detect(self, luma: np.ndarray) -> list[Face]:
        box = Box(BOX[0] + 2, BOX[1], BOX[2], BOX[3])
        points = np.array([[45, 54], [65, 54], [55, 66], [47, 78], [62, 78]], np.float32)
        far = Face(Box(100, 100, 20, 20), points + 70, 0.9)
        return [far, Face(box, points, 0.8)] if luma[0, 0] % 2 else [far]


def test_rows_of_a_detector_are_of_the_faces_it_finds(data: Path) -> None:
    found = [p for p in faces(data, "ytfaces") if p.split == "test" and p.luma()[0, 0] % 2]
    assert 0 < len(found) < len(POSES)
    report = pose_table(data, detector=Seer())  # type: ignore[arg-type]
    own, fit = report["rows"][3:5]
    assert (own["method"], fit["method"]) == ("bitlens, boxes of our detector", "fit to five landmarks of our detector")
    assert own["faces"] == fit["faces"] == len(found)
    crops = [crop_faces(p.luma(), [Box(BOX[0] + 2, *BOX[1:])], 64, 1.2) for p in found]
    wanted = np.array([POSES[int(p.file.removeprefix("test")[0])][0] for p in found])
    assert own["yaw"][0] == pytest.approx(np.abs(Pose().estimate(np.concatenate(crops)).yaw - wanted).mean(), abs=1e-3)
