# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from bitlens.results.detection import (
    Judged,
    Labelled,
    average_precision,
    box_corners,
    corners,
    false_alarms,
    fixed_threshold,
    judge,
    recall,
)
from bitlens.vision import Box

LUMA = np.zeros((100, 100), np.uint8)
FACES = corners([[10, 10, 20, 20], [60, 60, 20, 20]])


def _judge(boxes: list[list[float]], scores: list[float], picture: Labelled) -> tuple[list[float], list[bool], int]:
    found = judge(lambda luma: (corners(boxes), np.array(scores)), [picture])
    return found.scores.tolist(), found.hits.tolist(), int(found.faces.sum())


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


def _judged(scores: list[float], hits: list[bool], pictures: list[int], faces: list[int], persons: list[int]) -> Judged:
    return Judged(np.array(scores), np.array(hits, bool), np.array(pictures, int), np.array(faces), np.array(persons))


@pytest.mark.parametrize(("alarms", "left"), [(0.0, 0), (0.5, 1), (1.0, 2), (1.9, 3), (2.0, 4), (9.0, 4)])
def test_a_threshold_leaves_so_many_alarms(alarms: float, left: int) -> None:
    scores = iter([np.array([0.3, 0.9]), np.array([0.5, 0.7])])
    boxes = corners([[0, 0, 9, 9], [50, 50, 9, 9]])
    threshold = fixed_threshold(lambda luma: (boxes, next(scores)), [LUMA, LUMA], alarms)
    assert (np.array([0.3, 0.9, 0.5, 0.7]) >= threshold).sum() == left


def test_recall_counts_hits_from_the_threshold_on() -> None:
    judged = _judged([0.9, 0.8, 0.7], [True, False, True], [0, 0, 1], [2, 2], [0, 1])
    assert recall(judged, 0.7)[0] == 0.5
    assert recall(judged, 0.71)[0] == 0.25
    assert false_alarms(judged, 0.8) == 1
    assert false_alarms(judged, 0.81) == 0
    assert recall(_judged([], [], [], [0], [0]), 0.0)[0] == 0.0


def test_the_interval_is_over_persons_not_over_pictures() -> None:
    alike = _judged(
        [1.0] * 50, [True] * 50, [*range(50)], [1] * 100, [0] * 50 + [1] * 50
    )  # all of one, none of the other
    assert recall(alike, 0.0) == [0.5, 0.0, 1.0]
    apart = Judged(alike.scores, alike.hits, alike.pictures, alike.faces, np.arange(100))
    value, low, high = recall(apart, 0.0)
    assert 0.35 < low < value < high < 0.65


def test_pictures_of_one_person_belong_together() -> None:
    pictures = [
        Labelled(LUMA, FACES, person="b"),
        Labelled(LUMA),
        Labelled(LUMA, person="b"),
        Labelled(LUMA, person="a"),
    ]
    persons = judge(lambda luma: (corners([]), np.zeros(0)), pictures).persons
    assert persons[0] == persons[2]
    assert len(np.unique(persons)) == 3


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
        judged = Judged(scores, hits, np.zeros(count, int), np.array([faces]), np.array([0]))
        assert average_precision(judged) == pytest.approx(area)


def test_two_sets_as_one() -> None:
    one = _judged([0.9], [True], [1], [0, 1], [1, 0])
    both = one + _judged([0.8], [False], [0], [3], [0])
    assert (both.scores.tolist(), both.hits.tolist(), both.pictures.tolist()) == ([0.9, 0.8], [True, False], [1, 2])
    assert (both.faces.tolist(), both.persons.tolist()) == ([0, 1, 3], [1, 0, 2])


def test_corners_of_boxes() -> None:
    assert box_corners([Box(1, 2, 3, 4)]).tolist() == [[1, 2, 4, 6]]
    assert box_corners([]).shape == (0, 4)
