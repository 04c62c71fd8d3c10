# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitlens.vision import BestShots, Box, Face, Frame, ShotWeights, VisionError
from bitlens.vision.face_line import FaceLine, cut
from bitlens.vision.pose import Angles
from square_nets import BrightClearness, SquareDetector, StillPose
from videos import Bytes, picture


def _frame(number: int, colours: Bytes) -> Frame:
    return Frame(number, number / 25, colours.max(2), lambda: colours)


def _line(**options: object) -> FaceLine:
    return FaceLine(SquareDetector(), BrightClearness(), StillPose(), best=BestShots(**options))  # type: ignore[arg-type]


def test_every_face_of_every_frame_is_judged() -> None:
    line = _line()
    for number in range(5):
        looked = line.look(_frame(number, picture([10 + 3 * number, 90 - 2 * number], value=110 + 20 * number)))
        assert [shot.track for shot in looked.shots] == [0, 1]
        assert [(shot.frame, shot.time) for shot in looked.shots] == [(number, number / 25)] * 2
        assert looked.shots[0].clearness == pytest.approx((110 + 20 * number) / 2.55, rel=0.04)
    captures = line.finish()
    assert [(c.kind, c.shot.track, c.shot.frame) for c in captures] == [("best", 0, 4), ("best", 1, 4)]
    assert all(spent > 0 for spent in line.seconds.values())


def test_a_capture_shows_the_face_in_colour_with_its_surroundings() -> None:
    line = _line(keep=1, least_frames=1)
    colours = picture([30])
    line.look(_frame(0, colours))
    (capture,) = line.finish()
    crop = capture.shot.crop
    assert crop is not None
    assert np.array_equal(crop, colours[0:42, 20:64])  # 24 pixels and 0.4 of them beyond, as far as the frame goes


def test_crops_are_cut_only_where_they_may_be_kept() -> None:
    line, asked = _line(keep=1), []
    for number, value in enumerate((130, 120, 150)):
        colours = picture([10], value=value)
        frame = Frame(number, number / 25, colours.max(2), lambda n=number, c=colours: asked.append(n) or c)  # type: ignore[misc]
        line.look(frame)
    assert asked == [0, 2]


class _TurningPose:
    """The darker in the middle, the more turned."""

    size, margin = 8, 1.0

    def estimate(self, crops: Bytes) -> Angles:
        turned = 90.0 - crops[:, 4, 4] % 90
        return Angles(turned, turned / 2, turned / 4, 100.0 - turned)


class _Counting(BrightClearness):
    def __init__(self) -> None:
        self.counts: list[int] = []

    def score(self, crops: Bytes) -> npt.NDArray[np.float64]:
        self.counts.append(len(crops))
        return super().score(crops)


_SQUARES = st.tuples(st.integers(101, 255), st.integers(8, 30))  # brightness, side


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.one_of(st.none(), _SQUARES), max_size=25),
    st.integers(1, 3),
    st.sampled_from([0.0, 0.1, 0.3]),
    st.one_of(st.none(), st.floats(1, 60)),
    st.one_of(st.none(), st.sampled_from([0.08, 0.2])),
    st.integers(1, 3),
    st.tuples(*[st.sampled_from([0.0, 0.5, 2.0])] * 4),
)
def test_the_same_is_captured_when_hopeless_shots_are_not_judged(
    squares: list[tuple[int, int] | None],
    keep: int,
    apart: float,
    quick: float | None,
    interval: float | None,
    least: int,
    weights: tuple[float, float, float, float],
) -> None:
    captured, judged = [], []
    for every in (True, False):
        best = BestShots(
            keep=keep, apart_seconds=apart, quick_score=quick, interval_seconds=interval, least_frames=least
        )
        line = FaceLine(
            SquareDetector(), BrightClearness(), _TurningPose(), best=best, weights=ShotWeights(*weights, 30)
        )
        captures, shots = [], []
        for number, square in enumerate(squares):
            colours = picture([]) if square is None else picture([10 + number], value=square[0], side=square[1])
            looked = line.look(_frame(number, colours), all_shots=every)
            captures += looked.captures
            shots += looked.shots
        captures += line.finish()
        captured.append([(c.kind, replace(c.shot, face=None, crop=None), c.shot.crop.tolist()) for c in captures])  # type: ignore[arg-type, union-attr]
        judged.append([replace(shot, face=None, crop=None) for shot in shots])  # type: ignore[arg-type]
    assert [(kind, vars(shot), crop) for kind, shot, crop in captured[0]] == [
        (kind, vars(shot), crop) for kind, shot, crop in captured[1]
    ]
    every_shot = [vars(shot) for shot in judged[0]]
    assert all(vars(shot) in every_shot for shot in judged[1])


def test_hopeless_shots_are_not_judged_where_that_is_asked() -> None:
    counts = []
    for every in (True, False):
        clearness = _Counting()
        line = FaceLine(SquareDetector(), clearness, StillPose(), best=BestShots(keep=1))
        for number, side in enumerate((24, 16, 26)):
            line.look(_frame(number, picture([10], side=side, value=190)), all_shots=every)
        counts.append(clearness.counts)
    assert counts == [[1, 1, 1], [1, 0, 1]]  # the second is too small to be better, however clear


def test_frames_without_faces() -> None:
    line = _line()
    looked = line.look(_frame(0, picture([])))
    assert (looked.faces, looked.events, looked.shots, looked.captures) == ([], [], [], [])
    assert line.finish() == []


class _Wavering(SquareDetector):
    """Sure of bright squares alone."""

    def detect(self, luma: Bytes) -> list[Face]:
        return [replace(face, score=0.9 if luma.max() > 150 else 0.3) for face in super().detect(luma)]


def test_weak_faces_continue_tracks_and_are_never_captured() -> None:
    for values, frames in (
        ([180, 180, 140, 180, 180], []),  # never three in a row
        ([140, 160, 170, 180, 140], [3]),
        ([160, 165, 170, 140, 180], [4]),  # sure of the track, any sure face of it may be kept
    ):
        best = BestShots(keep=1, least_frames=3)
        line = FaceLine(_Wavering(), BrightClearness(), StillPose(), best=best)
        for number, value in enumerate(values):
            looked = line.look(_frame(number, picture([10], value=value)))
            assert len(looked.faces) == 1
            assert len(looked.shots) == (value > 150)
        captures = line.finish()
        assert [capture.shot.frame for capture in captures] == frames
        assert {capture.shot.track for capture in captures} <= {0}


def test_a_hundred_faces() -> None:
    line = _line(keep=1, least_frames=2)
    for number in range(2):
        looked = line.look(_frame(number, picture([5] * 100, size=(4000, 40))))
    assert len(looked.shots) == 100
    assert len(line.finish()) == 100


def test_frames_must_come_in_order() -> None:
    line = _line()
    line.look(_frame(1, picture([5])))
    with pytest.raises(VisionError, match="frame must be after 1, not 1"):
        line.look(_frame(1, picture([5])))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.tuples(st.floats(-90, 90), st.floats(-90, 90), st.floats(0.1, 150), st.floats(0.1, 150)),
    st.floats(0, 2),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_a_crop_is_never_empty(
    box: tuple[float, float, float, float], surroundings: float, size: tuple[int, int]
) -> None:
    colours = np.arange(size[0] * size[1] * 3, dtype=np.uint8).reshape(*size, 3)
    crop = cut(_frame(0, colours), Box(*box), surroundings)
    assert crop.size
    assert crop.shape[0] <= size[0]
    assert crop.shape[1] <= size[1]
