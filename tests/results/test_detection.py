# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from bitlens.results.detection import (
    Judged,
    Labelled,
    average_precision,
    corners,
    judge,
    recall_at,
    threshold_at,
)

LUMA = np.zeros((100, 100), np.uint8)
FACES = corners([[10, 10, 20, 20], [60, 60, 20, 20]])


def _judge(boxes: list[list[float]], scores: list[float], picture: Labelled) -> tuple[list[float], list[bool], int]:
    found = judge(lambda luma: (corners(boxes), np.array(scores)), [picture])
    return found.scores.tolist(), found.hits.tolist(), found.faces


def test_each_face_is_found_once_by_the_surest_detection() -> None:
    boxes = [[11, 10, 20, 20], [10, 10, 20, 20], [60, 60, 20, 20], [30, 60, 20, 20]]
    scores, hits, faces = _judge(boxes, [0.9, 0.5, 0.6, 0.7], Labelled(LUMA, FACES))
    assert (scores, hits, faces) == ([0.9, 0.7, 0.6, 0.5], [True, False, True, False], 2)


@pytest.mark.parametrize(("width", "hit"), [(10, True), (9.9, False)])
def test_half_of_the_union_is_enough(width: float, hit: bool) -> None:
    assert _judge([[10, 10, width, 20]], [1.0], Labelled(LUMA, FACES))[1] == [hit]


def test_what_counts_neither_way_is_left_out() -> None:
    asked, other = FACES[:1], FACES[1:]
    boxes = [[10, 10, 20, 20], [65, 65, 9, 9], [30, 30, 9, 9]]
    assert _judge(boxes, [3.0, 2.0, 1.0], Labelled(LUMA, asked, other))[1] == [True, False]
    assert _judge(boxes, [3.0, 2.0, 1.0], Labelled(LUMA, asked, complete=False))[1] == [True]
    assert _judge([], [], Labelled(LUMA, asked)) == ([], [], 1)
    assert _judge(boxes, [3.0, 2.0, 1.0], Labelled(LUMA))[1] == [False] * 3


@pytest.mark.parametrize(("alarms", "left"), [(0.0, 0), (0.5, 1), (1.0, 2), (1.9, 3), (2.0, 4), (9.0, 4)])
def test_a_threshold_leaves_so_many_alarms(alarms: float, left: int) -> None:
    empty = Judged(np.array([0.3, 0.9, 0.5, 0.7]), np.zeros(4, bool), 0, 2)
    assert (empty.scores >= threshold_at(empty, alarms)).sum() == left


def test_recall_counts_hits_from_the_threshold_on() -> None:
    judged = Judged(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]), 4, 1)
    assert recall_at(judged, 0.7) == 0.5
    assert recall_at(judged, 0.71) == 0.25
    assert recall_at(Judged(np.zeros(0), np.zeros(0, bool), 0, 1), 0.0) == 0.0


def test_average_precision_is_the_area_under_the_best_precision_from_each_recall_on() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        count = int(rng.integers(0, 12))
        scores, hits = rng.permutation(count) / 7, rng.random(count) < 0.5
        faces = int(hits.sum() + rng.integers(1, 4))
        curve = [
            (hits[scores >= s].sum() / faces, hits[scores >= s].mean()) for s in scores
        ]  # recall and precision at every score
        area = sum(max((p for r, p in curve if r >= (k + 1) / faces - 1e-9), default=0.0) for k in range(faces)) / faces
        assert average_precision(Judged(scores, hits, faces, 1)) == pytest.approx(area)


def test_two_sets_as_one() -> None:
    one = Judged(np.array([0.9]), np.array([True]), 1, 2)
    both = one + Judged(np.array([0.8]), np.array([False]), 3, 4)
    assert (both.scores.tolist(), both.hits.tolist(), both.faces, both.pictures) == ([0.9, 0.8], [True, False], 4, 6)
