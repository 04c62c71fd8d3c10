# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from bitlens.data.degrade import resized
from bitlens.data.pasting import Canvas, Patch


def _patch(height: int = 20, width: int = 30, complete: bool = True, seed: int = 0) -> Patch:
    boxes = np.array([[5, 4, 10, 12]], np.float32)
    landmarks = np.array([[[7, 8], [13, 8], [10, 11], [8, 14], [12, 14]]], np.float32)
    luma = np.full((height, width), 200, np.float32)
    return Patch.of(luma, np.random.default_rng(seed), boxes, landmarks, complete)


def test_a_patch_blends_by_its_alpha() -> None:
    canvas, patch = Canvas(np.zeros((50, 60), np.float32)), _patch()
    canvas.paste(patch, 10, 20)
    np.testing.assert_allclose(canvas.luma[10:30, 20:50], 200 * patch.alpha, rtol=1e-6)
    canvas.luma[10:30, 20:50] = 0
    assert not canvas.luma.any()
    boxes, landmarks, unknown = canvas.found()
    np.testing.assert_array_equal(boxes, [[25, 14, 10, 12]])
    np.testing.assert_array_equal(landmarks[0, 0], [27, 18])
    assert unknown.shape == (0, 4)


def test_a_border_is_soft_and_even() -> None:
    for seed in range(20):
        alpha = _patch(seed=seed).alpha
        assert alpha.min() > 0
        assert alpha.max() == pytest.approx(1)
        np.testing.assert_array_equal(alpha, alpha[::-1, ::-1])
        assert (np.diff(alpha[10, :15]) >= 0).all()


def test_outside_nothing_is_pasted() -> None:
    canvas = Canvas(np.zeros((20, 20), np.float32))
    for top, left in ((-20, 0), (20, 0), (0, -30), (0, 20)):
        canvas.paste(_patch(), top, left)
    assert not canvas.luma.any()
    assert len(canvas.found()[0]) == 0


@pytest.mark.parametrize(("left", "faces", "unknown"), [(0, 1, 0), (-7, 1, 0), (-9, 0, 1), (-14, 0, 1), (-15, 0, 0)])
def test_a_face_that_is_half_seen_is_unknown(left: int, faces: int, unknown: int) -> None:
    canvas, patch = Canvas(np.zeros((40, 40), np.float32)), _patch()
    canvas.paste(patch, 0, left)  # the face begins 5 to the right and is 10 wide
    assert (len(canvas.found()[0]), len(canvas.found()[2])) == (faces, unknown)
    assert Canvas(np.zeros((40, 40), np.float32)).is_free(patch, 0, left) == bool(faces)


def test_a_place_is_taken_by_a_face_not_by_a_patch() -> None:
    canvas, patch = Canvas(np.zeros((60, 90), np.float32)), _patch()
    canvas.paste(patch, 0, 0)  # the face ends at (16, 15)
    assert canvas.is_free(patch, 0, 15)
    assert not canvas.is_free(patch, 0, 14)
    assert canvas.is_free(patch, 16, 0)


def test_incomplete_patches_are_unknown_as_a_whole() -> None:
    canvas = Canvas(np.zeros((40, 40), np.float32))
    canvas.paste(_patch(complete=False), 25, 0)
    np.testing.assert_array_equal(canvas.found()[2], [[0, 25, 30, 15]])


def test_mirrored_twice_is_the_same() -> None:
    patch = _patch()
    once, twice = patch.mirrored(), patch.mirrored().mirrored()
    np.testing.assert_array_equal(once.boxes, [[15, 4, 10, 12]])
    np.testing.assert_array_equal(once.landmarks[0], [[17, 8], [23, 8], [20, 11], [18, 14], [22, 14]])
    np.testing.assert_array_equal(twice.landmarks, patch.landmarks)
    np.testing.assert_array_equal(twice.boxes, patch.boxes)


def test_a_bar_hides_a_part_of_the_face_only() -> None:
    for seed in range(30):
        patch = _patch()
        hidden = patch.occluded(np.random.default_rng(seed)).luma != patch.luma
        assert 0 < hidden.sum() <= 0.45 * 10 * 12
        inside = np.zeros_like(hidden)
        inside[4:16, 5:15] = True
        assert not (hidden & ~inside).any()


def test_scaled_takes_the_mean_where_it_shrinks() -> None:
    luma = np.zeros((8, 8), np.uint8)
    luma[:, ::2] = 200
    small = resized(luma, (4, 4))
    assert small.shape == (4, 4)
    assert small.dtype == np.float32
    assert np.abs(small - 100).max() <= 30
