# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bitlens.data import DataError
from bitlens.data.faces import faces
from bitlens.data.ssim import structural_similarity
from bitlens.results.best_shot import _chosen, best_shot_table
from bitlens.results.face_tracks import compose_track, sharp_pictures
from bitlens.vision import BestShots, Box, Face, FaceLine, Shot
from bitlens.vision.exposure import exposure
from face_sets import record, write_set
from square_nets import BrightClearness, StillPose


@pytest.fixture
def data(tmp_path: Path) -> Path:
    box = (40, 30, 60, 70)
    people = [
        record(f"p{person}_{k}.png", split, box, (8.0 * k, 2.0, 0.0))
        for person, split in ((0, "train"), (1, "test"), (2, "test"))
        for k in range(5)
    ]
    write_set(tmp_path, "ytfaces", people, blurred=["p1_0.png"])
    empty = {"width": 160, "height": 150, "faces": [], "all_faces_labelled": True}
    write_set(tmp_path, "nonface", [{"file": f"{k}.png", "split": "test", **empty} for k in range(2)])
    return tmp_path


class _Truthful:
    """Finds the face where it was pasted, told by the track that is composed."""

    sure = 0.5

    def __init__(self, monkeypatch: pytest.MonkeyPatch, hidden: bool = False) -> None:
        from bitlens.results import best_shot

        self.hidden = hidden

        def composing(*arguments: object) -> object:
            self.track, self.frame = compose_track(*arguments), 0  # type: ignore[arg-type]
            return self.track

        monkeypatch.setattr(best_shot, "compose_track", composing)

    def detect(self, luma: np.ndarray) -> list[Face]:
        box = self.track.boxes[self.frame]
        self.frame += 1
        return (
            []
            if self.hidden
            else [Face(box, np.zeros((5, 2), np.float32), 0.5 + self.track.truth[self.frame - 1] / 250)]
        )


def test_a_track_is_the_same_each_time_and_its_box_where_the_face_is(data: Path) -> None:
    pictures = [picture for picture in faces(data, "ytfaces") if picture.person == "p2"]
    background = np.full((90, 120), 60, np.uint8)
    one, other = (compose_track(pictures, background, np.random.default_rng(3)) for _ in range(2))
    assert len(one.frames) == len(one.boxes) == len(one.truth) == 60
    assert all(np.array_equal(a, b) for a, b in zip(one.frames, other.frames, strict=True))
    assert one.boxes == other.boxes
    assert {frame.shape for frame in one.frames} == {(240, 320)}
    for frame, box in zip(one.frames, one.boxes, strict=True):
        assert abs(box.height / box.width - 7 / 6) < 0.05
        assert 0 < box.left < box.right < 320
        inside = frame[int(box.top) : int(box.bottom), int(box.left) : int(box.right)]
        assert (
            inside.mean() - frame[:20, :20].mean() > 15
        )  # the photographs are noise of mean 127, the background is 60
    assert one.truth.min() >= 0
    assert one.truth.max() > 1.3 * np.median(one.truth)


def test_only_sharp_photographs_stand_for_sharpness(data: Path) -> None:
    assert structural_similarity(np.zeros((8, 8)), np.zeros((8, 8))) == 1.0
    found = sharp_pictures(faces(data, "ytfaces"))
    assert {person: len(own) for person, own in found.items()} == {"p0": 5, "p1": 4, "p2": 5}


def test_who_knows_the_truth_regrets_nothing(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = _Truthful(monkeypatch)
    make_line = lambda: FaceLine(detector, BrightClearness(), StillPose(), best=BestShots())  # noqa: E731
    report = best_shot_table(data, (1, 2), make_line)
    assert (report["persons"], report["tracks"], report["missed"]) == (2, 4, 0)
    knows = "highest detector score"
    assert report[f"median regret, {knows}"] == report[f"mean regret, {knows}"] == [0, 0, 0]
    assert report[f"median regret by seed, {knows}"] == [0, 0]
    assert report[f"gain of 30 over 5 frames a second, {knows}"][0] >= 0
    assert report["mean regret, largest face"][0] > 0
    for truth in ("", ", truth without exposure"):
        regrets = [
            value for name, value in report.items() if name.startswith("median regret, ") and name.endswith(truth)
        ]
        assert len(regrets) >= 8
        assert all(0 <= (value[0] if isinstance(value, list) else value) < 1 for value in regrets)


def test_who_finds_nothing_regrets_everything(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = _Truthful(monkeypatch, hidden=True)
    report = best_shot_table(data, (1,), lambda: FaceLine(detector, BrightClearness(), StillPose()), limit=1)
    assert (report["tracks"], report["missed"]) == (1, 1)
    assert all(value == [1, 1, 1] for name, value in report.items() if name.startswith("mean regret, "))
    assert all(value is None for name, value in report.items() if name.startswith("gain"))


def test_ways_to_take_few_frames_that_show_no_face_are_left_out() -> None:
    face = Face(Box(0, 0, 9, 9), np.zeros((5, 2), np.float32), 0.9)
    shots = [Shot(0, frame, 0.0, face, 1, 0, 0, 0, 1, 1, 1, run=1) for frame in (0, 1, 6, 7)]  # two ways of six
    every, few = _chosen(shots, [1, 2, 3, 4], [0.1, 0.8, 0.5, 0.9])
    assert every == 0.9
    assert few == pytest.approx((0.5 + 0.9) / 2)
    assert _chosen([], [], []).every == 0
    assert np.isnan(_chosen([], [], []).few)


def test_truth_without_exposure_is_likeness_pose_and_size(data: Path) -> None:
    pictures = [picture for picture in faces(data, "ytfaces") if picture.person == "p2"]
    track = compose_track(pictures, np.full((90, 120), 60, np.uint8), np.random.default_rng(3))
    assert track.unlit.shape == track.truth.shape
    assert (track.unlit >= 0).all()
    seen = np.array([exposure(frame, box) for frame, box in zip(track.frames, track.boxes, strict=True)])
    assert seen.min() < 97
    own = track.unlit > 1  # below, `ShotWeights` counts no factor less than 0.01
    np.testing.assert_allclose(track.truth[own], (track.unlit * seen.clip(1) / 100)[own], rtol=0.02)


def test_a_face_that_is_none_is_worth_nothing(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = _Truthful(monkeypatch)
    real = detector.detect
    aside = lambda luma: [Face(Box(0, 0, 20, 20), face.landmarks, face.score) for face in real(luma)]  # noqa: E731
    monkeypatch.setattr(detector, "detect", aside)
    report = best_shot_table(data, (1,), lambda: FaceLine(detector, BrightClearness(), StillPose()), limit=1)
    assert all(value == [1, 1, 1] for name, value in report.items() if name.startswith("mean regret, "))


def test_data_without_test_persons_is_refused(tmp_path: Path) -> None:
    write_set(tmp_path, "ytfaces", [record("a_0.png", "train", (40, 30, 60, 70), (0, 0, 0))])
    write_set(tmp_path, "nonface", [])
    with pytest.raises(DataError, match="must hold test persons with 4 sharp pictures and backgrounds, not none"):
        best_shot_table(tmp_path)
