# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from bitlens.results.false_tracks import false_captures_of_videos, longest_runs, shaken, sure_runs
from bitlens.vision import BestShots, Box, Face, FaceLine
from face_sets import record, write_set
from square_nets import BrightClearness, StillPose


def _face(score: float, left: float = 20.0) -> Face:
    return Face(Box(left, 20, 60, 70), np.zeros((5, 2), np.float32), score)


@pytest.mark.parametrize("size", [(150, 200), (90, 61), (1, 1)])
def test_a_shaken_photograph_moves_and_is_the_same_each_time(size: tuple[int, int]) -> None:
    luma = np.random.default_rng(0).integers(0, 256, size).astype(np.uint8)
    frames = shaken(luma, np.random.default_rng(3))
    assert len(frames) == 36
    assert all(frame.shape[0] == 480 or frame.shape[1] == 640 for frame in frames)
    assert all(np.array_equal(a, b) for a, b in zip(frames, shaken(luma, np.random.default_rng(3)), strict=True))
    assert not np.array_equal(frames[0], frames[10])


def test_the_longest_run_of_every_track() -> None:
    scores = [0.9, 0.9, 0.5, 0.9, 0.9, 0.9, 0.5, 0.9]
    found = [[_face(score)] + [_face(0.8, left=200)] * (number in (3, 4)) for number, score in enumerate(scores)]
    assert longest_runs(found, 30.0, 0.6) == [3, 2]
    assert longest_runs([[], []], 30.0, 0.6) == []


class _Seer:
    """Sees a face in everything."""

    sure = 0.5

    def detect(self, luma: npt.NDArray[np.uint8]) -> list[Face]:
        return [_face(0.9)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    poses = [record(f"p_{k}.png", "val", (40, 30, 60, 70), (8.0 * k, 2.0, 0.0)) for k in range(4)]
    write_set(tmp_path, "ytfaces", poses)
    empty = {"width": 160, "height": 150, "faces": [], "all_faces_labelled": True}
    splits = ["train", "test", "test"]
    write_set(tmp_path, "nonface", [{"file": f"{k}.png", "split": split, **empty} for k, split in enumerate(splits)])
    return tmp_path


def test_every_capture_of_a_video_without_faces_is_a_false_one(data: Path) -> None:
    for least, expected in ((5, 2), (40, 0)):
        best = [BestShots(keep=1, least_frames=least) for _ in range(4)]
        figures = false_captures_of_videos(
            data, lambda *_, best=best: FaceLine(_Seer(), BrightClearness(), StillPose(), best=best.pop())
        )
        assert figures["shots"] == 2
        for rate in (30, 10):
            assert figures[f"false captures, {rate} frames a second"] == expected
            assert figures[f"shots with a false capture, {rate} frames a second"] == expected


def test_more_frames_in_a_row_leave_fewer_tracks(data: Path) -> None:
    figures = sure_runs(data)
    assert (figures.pop("shots"), figures.pop("persons")) == (1, 1)
    assert len(figures) == 8
    for name, counts in figures.items():
        assert len(counts) == 6
        assert counts == sorted(counts, reverse=name.startswith("false"))
