# SPDX-License-Identifier: Apache-2.0
"""The Haar peer with a cascade that is made up: how its squares become boxes."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bitlens.results.detection import Labelled, corners
from bitlens.results.haar import Haar


def _cascade(squares: list[list[int]], weights: list[float]) -> Any:
    found = np.array(squares, np.int32) if squares else ()
    return SimpleNamespace(detectMultiScale3=lambda *args, **options: (found, (), np.array(weights)))


def test_without_training_boxes_are_the_cascades() -> None:
    haar = Haar()
    haar.cascade = _cascade([[10, 20, 30, 30]], [4.5])
    boxes, scores = haar.detect(np.zeros((100, 100), np.uint8))
    assert (boxes.tolist(), scores.tolist()) == ([[10, 20, 40, 50]], [4.5])


def test_the_map_is_fitted_on_the_squares_around_labelled_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    haar = Haar()
    haar.cascade = _cascade([[10, 20, 40, 40], [0, 0, 20, 20]], [1.0, 2.0])
    face = corners([[14, 10, 32, 50]])  # a tenth of a side to the right, a quarter higher, 0.8 as wide, 1.25 as high
    haar.affine = haar._fitted([Labelled(np.zeros((100, 100), np.uint8), face)])
    assert haar.affine == pytest.approx([0.1, -0.25, 0.8, 1.25])
    np.testing.assert_allclose(haar.detect(np.zeros((100, 100), np.uint8))[0], [*face, [2, -5, 18, 20]])


def test_nothing_found_and_tiny_pictures() -> None:
    haar = Haar()
    assert haar.detect(np.zeros((10, 300), np.uint8))[0].shape == (0, 4)
    haar.cascade = _cascade([], [])
    assert haar.detect(np.zeros((60, 60), np.uint8))[0].shape == (0, 4)
    np.testing.assert_array_equal(haar._fitted([]), [0, 0, 1, 1])


def test_the_real_cascade_runs() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (80, 90)).astype(np.uint8)
    boxes, scores = Haar().detect(noise)
    assert boxes.shape == (len(scores), 4)
