# SPDX-License-Identifier: Apache-2.0
"""Decoding beside slow obvious loops."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bitlens.vision.decode import boxes_at, overlaps, peaks, suppress

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


def _overlap(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    across, down = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, across) * max(0.0, down)
    areas = [max(0.0, c[2] - c[0]) * max(0.0, c[3] - c[1]) for c in (a, b)]
    union = sum(areas) - shared
    return float(shared / union) if union > 0 else 0.0


BOXES = st.integers(0, 8).flatmap(
    lambda n: arrays(np.float64, (n, 4), elements=st.integers(0, 12).map(float))
)  # some of them empty


@given(BOXES, BOXES)
def test_overlaps(boxes: npt.NDArray[np.float64], others: npt.NDArray[np.float64]) -> None:
    expected = [[_overlap(a, b) for b in others] for a in boxes]
    np.testing.assert_allclose(overlaps(boxes, others), np.reshape(expected, (len(boxes), len(others))))


@given(st.data(), BOXES)
def test_the_best_of_each_heap_stays(data: st.DataObject, boxes: npt.NDArray[np.float64]) -> None:
    scores = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(boxes), max_size=len(boxes))), np.int64)
    expected: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        if all(_overlap(boxes[i], boxes[j]) <= 0.4 for j in expected):
            expected.append(i)
    assert suppress(boxes, scores, 0.4).tolist() == expected


@pytest.mark.parametrize("most", [0.0, 1.0])
def test_ends_of_suppression(most: float) -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60.0]])
    assert suppress(boxes, np.array([1, 2, 3]), most).tolist() == ([2, 1] if most == 0 else [2, 1, 0])
