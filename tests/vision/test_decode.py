# SPDX-License-Identifier: Apache-2.0
"""Decoding beside slow obvious loops."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bitlens.vision.decode import boxes_at, nestings, overlaps, peaks, suppress

SIDES = st.integers(0, 9)


@given(
    st.tuples(SIDES, SIDES).flatmap(lambda shape: arrays(np.int32, shape, elements=st.integers(-3, 3))),
    st.integers(-3, 3),
)
def test_peaks_are_cells_that_no_neighbour_exceeds(heat: npt.NDArray[np.int32], least: int) -> None:
    expected = []
    for i, j in np.ndindex(heat.shape):
        around = heat[max(0, i - 1) : i + 2, max(0, j - 1) : j + 2]
        if heat[i, j] >= least and heat[i, j] == around.max():
            expected.append((i, j))
    rows, columns = peaks(heat, least)
    assert [*zip(rows, columns, strict=True)] == expected


def test_boxes_and_landmarks_are_told_from_the_cell() -> None:
    cells = np.zeros((1, 15))
    cells[0, 1:5] = (1, 2, 3, 4)
    cells[0, 5:] = (0, 0, 1, 0, 0, 1, -1, -1, 2, 2)
    boxes, landmarks = boxes_at(cells, np.array([5]), np.array([10]), 8)
    np.testing.assert_array_equal(boxes, [[72.5, 24.5, 104.5, 72.5]])  # the cell lies on pixel (40, 80)
    np.testing.assert_array_equal(landmarks[0], [[80.5, 40.5], [88.5, 40.5], [80.5, 48.5], [72.5, 32.5], [96.5, 56.5]])


def _areas(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """Of the intersection, of each box."""
    across, down = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    one, other = (max(0.0, c[2] - c[0]) * max(0.0, c[3] - c[1]) for c in (a, b))
    return max(0.0, across) * max(0.0, down), one, other


def _overlap(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    shared, one, other = _areas(a, b)
    return shared / (one + other - shared) if one + other - shared > 0 else 0.0


def _nesting(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    shared, one, other = _areas(a, b)
    return shared / min(one, other) if min(one, other) > 0 else 0.0


BOXES = st.integers(0, 8).flatmap(
    lambda n: arrays(np.float64, (n, 4), elements=st.integers(0, 12).map(float))
)  # some of them empty


@given(BOXES, BOXES)
def test_overlaps_and_nestings(boxes: npt.NDArray[np.float64], others: npt.NDArray[np.float64]) -> None:
    for found, slow in ((overlaps, _overlap), (nestings, _nesting)):
        expected = [[slow(a, b) for b in others] for a in boxes]
        np.testing.assert_allclose(found(boxes, others), np.reshape(expected, (len(boxes), len(others))))


def _slow_suppress(boxes: npt.NDArray[np.float64], scores: npt.NDArray[np.int64], most: float) -> list[int]:
    stays: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        if all(_nesting(boxes[i], boxes[j]) <= most for j in stays):
            stays.append(i)
    return stays


@given(st.data(), BOXES)
def test_the_best_of_each_heap_stays(data: st.DataObject, boxes: npt.NDArray[np.float64]) -> None:
    scores = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(boxes), max_size=len(boxes))), np.int64)
    assert suppress(boxes, scores, 0.4).tolist() == _slow_suppress(boxes, scores, 0.4)


@pytest.mark.parametrize("count", [127, 128, 129, 500])
def test_many_boxes_are_compared_block_by_block(count: int) -> None:
    rng = np.random.default_rng(count)
    corner = rng.integers(0, 120, (count, 2))
    boxes = np.concatenate([corner, corner + rng.integers(1, 30, (count, 2))], 1).astype(np.float64)
    scores = rng.integers(0, 50, count)
    assert 50 < len(suppress(boxes, scores, 0.5)) < count
    assert suppress(boxes, scores, 0.5).tolist() == _slow_suppress(boxes, scores, 0.5)


def test_a_chin_within_a_face_goes() -> None:
    boxes = np.array([[0, 0, 100, 100], [30, 70, 60, 98], [90, 90, 130, 130.0]])
    assert overlaps(boxes, boxes)[0, 1] < 0.1
    assert suppress(boxes, np.array([3, 2, 1])).tolist() == [0, 2]


@pytest.mark.parametrize("most", [0.0, 1.0])
def test_ends_of_suppression(most: float) -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60.0]])
    assert suppress(boxes, np.array([1, 2, 3]), most).tolist() == ([2, 1] if most == 0 else [2, 1, 0])
