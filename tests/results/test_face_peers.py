# SPDX-License-Identifier: Apache-2.0
"""Peers that find faces: how their boxes become ours, and that the real ones run."""

import sys
from collections.abc import Callable

import numpy as np
import pytest

from bitlens.results.detection import Detect, Labelled, corners
from bitlens.results.face_peers import Mapped, haar, libfacedetection

_EMPTY = np.zeros((100, 100), np.uint8)
_OLD = pytest.mark.skipif(sys.version_info >= (3, 12), reason="yuface has wheels up to Python 3.11")
_REAL = pytest.mark.parametrize("make", [haar, pytest.param(libfacedetection, marks=_OLD)])


def _finding(boxes: list[list[float]], scores: list[float]) -> Detect:
    return lambda luma: (corners(boxes), np.array(scores))


def test_without_training_boxes_are_the_detectors() -> None:
    boxes, scores = Mapped(_finding([[10, 20, 30, 40]], [4.5]))(_EMPTY)
    assert (boxes.tolist(), scores.tolist()) == ([[10, 20, 40, 60]], [4.5])


def test_the_map_is_fitted_on_the_boxes_around_labelled_faces() -> None:
    detect = _finding([[10, 20, 40, 80], [0, 0, 20, 20]], [1.0, 2.0])
    face = corners([[14, 40, 32, 60]])  # a tenth to the right, a quarter lower, 0.8 as wide, 0.75 as high
    mapped = Mapped(detect, [Labelled(_EMPTY, face)])
    assert mapped.affine == pytest.approx([0.1, 0.25, 0.8, 0.75])
    np.testing.assert_allclose(mapped(_EMPTY)[0], [*face, [2, 5, 18, 20]])


def test_boxes_twice_as_high_as_a_face_are_no_finds_of_it() -> None:
    detect = _finding([[0, 0, 90, 90]], [1.0])
    assert Mapped(detect, [Labelled(_EMPTY, corners([[30, 30, 40, 45]]))]).affine.tolist() == [0, 0, 1, 1]


@_REAL
def test_the_real_ones_run(make: Callable[[], Detect]) -> None:
    detect = make()
    noise = np.random.default_rng(0).integers(0, 256, (80, 90)).astype(np.uint8)
    for luma in (noise, noise[:10], noise[:1, :1], noise[::2, ::3]):
        boxes, scores = detect(luma)
        assert boxes.shape == (len(scores), 4)


@_REAL
def test_the_real_ones_find_the_astronaut(make: Callable[[], Detect]) -> None:
    from skimage.data import astronaut

    red, green, blue = np.moveaxis(astronaut().astype(float), 2, 0)
    boxes, scores = make()((0.299 * red + 0.587 * green + 0.114 * blue).astype(np.uint8))
    left, top, right, bottom = boxes[scores.argmax()]
    assert left < 225 < right
    assert top < 120 < bottom
