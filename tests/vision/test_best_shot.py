# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitlens.vision import BestShots, Box, Capture, Face, Shot, ShotWeights, VisionError

_FACE = Face(Box(0, 0, 40, 40), np.zeros((5, 2), np.float32), 0.9)


def _shot(frame: int, score: float, track: int = 0, time: float | None = None, run: int = 9) -> Shot:
    return Shot(track, frame, frame / 10 if time is None else time, _FACE, 50, 0, 0, 0, 100, 100, score, run)


def _told(captures: Sequence[Capture]) -> list[tuple[str, int]]:
    return [(capture.kind, capture.shot.frame) for capture in captures]


def _slow(
    shots: list[Shot], keep: int, apart: float, quick: float | None, interval: float | None, least: int
) -> list[tuple[str, int]]:
    """Everything is remembered and looked through anew after each shot."""

    def best(of: list[Shot]) -> Shot:
        return next(shot for shot in of if shot.score == max(other.score for other in of))

    given: list[tuple[str, int]] = []
    begun = shots[0].time if shots else 0.0
    windows: dict[int, list[Shot]] = {}
    for count, shot in enumerate(shots, 1):
        sure = any(other.run >= least for other in shots[:count])
        if interval is not None:
            number = math.floor((shot.time - begun) / interval)
            if windows and number not in windows and sure:
                given.append(("interval", best(windows[max(windows)]).frame))
            windows.setdefault(number, []).append(shot)
        if quick is not None and shot.score >= quick and sure and "quick" not in dict(given):
            given.append(("quick", shot.frame))
    if any(shot.run >= least for shot in shots):
        if windows:
            given.append(("interval", best(windows[max(windows)]).frame))
        given += [("best", shot.frame) for shot in _greedy(_of_stretches(shots, apart), keep, apart)]
    return given


def _of_stretches(shots: list[Shot], apart: float) -> list[Shot]:
    """The best of every stretch of time."""
    if not apart:
        return shots
    best: dict[int, Shot] = {}
    for shot in shots:
        number = math.floor((shot.time - shots[0].time) / apart)
        if number not in best or shot.score > best[number].score:
            best[number] = shot
    return list(best.values())


def _greedy(shots: list[Shot], keep: int, apart: float) -> list[Shot]:
    """The best of all shots; the best of those far enough from it; and so on."""
    kept: list[Shot] = []
    for shot in sorted(shots, key=lambda shot: (-shot.score, shot.frame)):
        if len(kept) < keep and all(abs(shot.time - other.time) >= apart for other in kept):
            kept.append(shot)
    return kept


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 8), st.booleans()), max_size=40),
    st.integers(1, 4),
    st.sampled_from([0.0, 0.25, 1.0]),
    st.sampled_from([None, 0.0, 5.0, 9.0]),
    st.sampled_from([None, 0.25, 1.0, 2.0]),
    st.integers(1, 4),
)
def test_the_slow_model_gives_the_same_captures(
    steps: list[tuple[int, int, bool]], keep: int, apart: float, quick: float | None, interval: float | None, least: int
) -> None:
    shots: list[Shot] = []
    frame = run = 0
    for gap, score, goes_on in steps:
        frame, run = frame + gap, run + 1 if goes_on else 1
        shots.append(_shot(frame, float(score), time=frame / 8, run=run))  # times exact in binary
    best = BestShots(keep=keep, apart_seconds=apart, quick_score=quick, interval_seconds=interval, least_frames=least)
    given: list[Capture] = []
    for shot in shots:
        given += best.add(shot)
    given += best.end(0)
    assert _told(given) == _slow(shots, keep, apart, quick, interval, least)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(0, 6), min_size=1, max_size=20), st.integers(1, 4))
def test_what_is_not_wanted_is_never_given(scores: list[int], keep: int) -> None:
    best = BestShots(keep=keep, quick_score=4, interval_seconds=0.25, least_frames=1)
    wanted, given = set(), []
    for frame, score in enumerate(scores):
        shot = _shot(frame, float(score), time=frame / 8)
        if best.wants(shot):
            wanted.add(frame)
        given += best.add(shot)
    given += best.end(0)
    assert {capture.shot.frame for capture in given} <= wanted


def test_tracks_do_not_mix() -> None:
    best = BestShots(keep=1)
    for frame in range(4):
        best.add(_shot(frame, 10.0 * frame, track=0))
        best.add(_shot(frame, 50.0 - frame, track=1))
    assert _told(best.end(1)) == [("best", 0)]
    assert _told(best.end(0)) == [("best", 3)]
    assert best.end(0) == best.end(7) == []  # ended before; never seen


def test_of_equal_scores_the_earlier_is_kept() -> None:
    best = BestShots(keep=1)
    best.add(_shot(3, 40.0))
    assert not best.wants(_shot(4, 40.0))
    best.add(_shot(4, 40.0))
    assert _told(best.end(0)) == [("best", 3)]


def test_a_track_must_be_seen_in_enough_frames_in_a_row() -> None:
    shots = [_shot(frame, 90.0 - frame, run=run) for frame, run in enumerate((1, 2, 1, 2, 3, 1))]
    for least, expected in ((4, []), (3, [("quick", 4), ("best", 0)]), (1, [("quick", 0), ("best", 0)])):
        best = BestShots(keep=1, quick_score=50, least_frames=least)
        given = [capture for shot in shots for capture in best.add(shot)]
        assert _told(given) + _told(best.end(0)) == expected


@pytest.mark.parametrize("way", [1, -1])
def test_a_minute_of_rising_or_falling_scores_gives_as_many_as_are_kept(way: int) -> None:
    best = BestShots(keep=3)
    for frame in range(1500):
        best.add(_shot(frame, 50 + way * frame / 30, time=frame / 25))
    captures = best.end(0)
    assert len(captures) == 3
    assert captures[0].shot.frame == (1499 if way > 0 else 0)
    assert all(abs(capture.shot.frame - captures[0].shot.frame) <= 75 for capture in captures)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 8)), min_size=1, max_size=20), st.integers(1, 4))
def test_shots_are_kept_apart_and_the_very_best_among_them(steps: list[tuple[int, int]], keep: int) -> None:
    best = BestShots(keep=keep, apart_seconds=0.5, least_frames=1)
    frames = np.cumsum([gap for gap, _ in steps]).tolist()
    for frame, (_, score) in zip(frames, steps, strict=True):
        best.add(_shot(frame, float(score), time=frame / 8))
    shots = [capture.shot for capture in best.end(0)]
    assert shots[0].score == max(score for _, score in steps)
    times = sorted(shot.time for shot in shots)
    assert all(later - earlier >= 0.5 for earlier, later in pairwise(times))


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((100, 100, 100, 100), 100.0),
        ((100, 100, 250, 100), 100.0),
        ((50, 50, 50, 50), 6.25),
        ((0, 100, 100, 100), 1.0),
    ],
)
def test_the_score_is_a_product(numbers: tuple[float, float, float, float], expected: float) -> None:
    assert ShotWeights().score(*numbers) == pytest.approx(expected)


def test_of_faces_turned_away_the_clearer_scores_more() -> None:
    assert ShotWeights().score(80, 0, 100, 100) > ShotWeights().score(40, 0, 100, 100) > 0


def test_a_weight_of_nothing_leaves_a_property_out() -> None:
    weights = ShotWeights(clearness=0, frontality=0, size=2, exposure=0.5)
    assert weights.score(0, 0, 50, 25) == pytest.approx(12.5)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: ShotWeights(size=-1), "weights: size must be 0 or more, not -1"),
        (lambda: ShotWeights(exposure=math.nan), "weights: exposure must be 0 or more, not nan"),
        (lambda: ShotWeights(full_size_px=0), "weights: full_size_px must be above 0, not 0"),
        (lambda: BestShots(keep=0), "best shots: keep must be 1 or more, not 0"),
        (lambda: BestShots(apart_seconds=-1), "best shots: apart_seconds must be 0 or more, not -1"),
        (lambda: BestShots(interval_seconds=0), "best shots: interval_seconds must be above 0, not 0"),
        (lambda: BestShots(least_frames=0), "best shots: least_frames must be 1 or more, not 0"),
    ],
)
def test_arguments_out_of_range(make: object, sentence: str) -> None:
    with pytest.raises(VisionError) as error:
        make()  # type: ignore[operator]
    assert str(error.value) == sentence
