# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from bitlens.camera import scan
from bitlens.data import DataError
from bitlens.results.clips import clip_folder, false_captures, gain_on_clips, line_speed
from bitlens.vision import BestShots, Box, Face, FaceLine
from face_sets import write_set
from square_nets import BrightClearness, StillPose, square_line
from videos import picture, write_video


@pytest.fixture(autouse=True)
def _nets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "nets_digest", lambda: "nets of squares")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "faces").mkdir()
    (tmp_path / "video").mkdir()
    frames = [picture([10 + k], value=120 + 40 * (k == 7)) for k in range(20)]  # one frame stands out
    write_video(tmp_path / "video" / "crowd_people_800x450.mp4", frames)
    write_video(tmp_path / "video" / "slow.mp4", frames, rate=5)
    return tmp_path / "faces"


def test_speed_and_bytes(data: Path) -> None:
    figures = line_speed(data, square_line)
    assert (figures["frames"], figures["faces a frame"], figures["tracks"], figures["captures"]) == (20, 1, 1, 1)
    assert figures["frames a second"] > 0
    assert figures["bytes of 500 tracks"] == 500 * figures["bytes a track"]
    assert figures["saved, % of a day at 2 Mbit/s"] == pytest.approx(
        100 - 100 * 500 * figures["bytes a track"] / 21.6e9
    )


def test_gain_of_more_frames(data: Path) -> None:
    figures = gain_on_clips(data, square_line)
    assert figures["tracks"] == 1  # five frames a second are all of the slow clip
    scores = [120 * 0.886, 160 * 0.886]  # about: luma of the squares, in proportion to which our score rises
    expected = 100 * (1 - (4 * scores[0] + scores[1]) / 5 / scores[1])
    gain = figures["better from all frames than from 5 a second, % of our own score, never below 0"]
    assert gain == pytest.approx(expected, rel=0.1)


def test_frames_without_the_face_do_not_make_more_frames_better(data: Path) -> None:
    hidden = [
        picture([10 + k] if k % 6 else []) for k in range(40)
    ]  # one way of six to take five a second shows nothing
    write_video(data.parent / "video" / "crowd_people_800x450.mp4", hidden, rate=30)
    figures = gain_on_clips(data, square_line)
    assert figures["tracks"] == 1
    assert figures["better from all frames than from 5 a second, % of our own score, never below 0"] < 2


def test_every_capture_of_a_picture_without_faces_is_a_false_one(tmp_path: Path) -> None:
    lines = [
        {"file": f"{k}.png", "split": split, "width": 160, "height": 150, "faces": [], "all_faces_labelled": True}
        for k, split in enumerate(("train", "test", "test"))
    ]
    write_set(tmp_path, "nonface", lines)
    assert false_captures(tmp_path, lambda *_: FaceLine(_Seer(), BrightClearness(), StillPose())) == {
        "test photographs without faces": 2,
        "false captures": 0,  # one frame is no track by itself
        "their scores": [],
    }
    found = false_captures(
        tmp_path, lambda *_: FaceLine(_Seer(), BrightClearness(), StillPose(), best=BestShots(least_frames=1))
    )
    assert (found["false captures"], len(found["their scores"])) == (2, 2)


class _Seer:
    """Sees a face in everything."""

    sure = 0.5

    def detect(self, luma: npt.NDArray[np.uint8]) -> list[Face]:
        return [Face(Box(20, 20, 60, 70), np.zeros((5, 2), np.float32), 0.9)]


def test_a_folder_without_the_clip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"must hold crowd_people_800x450\.mp4, or a folder video beside it must"):
        clip_folder(tmp_path)
    with pytest.raises(DataError):
        clip_folder(None)
