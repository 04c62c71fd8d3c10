# SPDX-License-Identifier: Apache-2.0
import ast
import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlens.vision import Box, VisionError
from bitlens.vision import crop as crop_module
from bitlens.vision.crop import crop_faces, cut_square, level, square_around


def slow_cut(luma: np.ndarray, square: tuple[float, float, float], size: int) -> np.ndarray:
    """Triangle weights, pixel by pixel, in real numbers."""
    left, top, side = square
    scale = side / size
    reach = max(1.0, scale)
    out = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            y, x = top + (i + 0.5) * scale - 0.5, left + (j + 0.5) * scale - 0.5
            total = weight = 0.0
            for row in range(int(np.floor(y - reach)), int(np.ceil(y + reach)) + 1):
                for column in range(int(np.floor(x - reach)), int(np.ceil(x + reach)) + 1):
                    share = max(0.0, 1 - abs(row - y) / reach) * max(0.0, 1 - abs(column - x) / reach)
                    pixel = luma[min(max(row, 0), luma.shape[0] - 1), min(max(column, 0), luma.shape[1] - 1)]
                    total, weight = total + share * float(pixel), weight + share
            out[i, j] = total / weight
    return out


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 14),
    st.integers(1, 14),
    st.floats(-20, 20),
    st.floats(-20, 20),
    st.floats(0.05, 40),
    st.integers(1, 9),
    st.integers(0, 99),
)
def test_equals_the_slow_model(
    height: int, width: int, left: float, top: float, side: float, size: int, seed: int
) -> None:
    luma = np.random.default_rng(seed).integers(0, 256, (height, width)).astype(np.uint8)
    found = cut_square(luma, (left, top, side), size)
    assert np.abs(found - slow_cut(luma, (left, top, side), size)).max() <= 0.5 + 0.25  # weights of 12 bits


def test_the_same_square_is_the_picture_itself() -> None:
    luma = np.random.default_rng(0).integers(0, 256, (13, 13)).astype(np.uint8)
    assert np.array_equal(cut_square(luma, (0, 0, 13), 13), luma)
    assert np.array_equal(cut_square(luma, (4, 3, 6), 6), luma[3:9, 4:10])


@settings(deadline=None)
@given(st.integers(0, 255), st.floats(-50, 50), st.floats(0.1, 300), st.integers(1, 40))
def test_a_flat_frame_stays_flat(value: int, place: float, side: float, size: int) -> None:
    luma = np.full((7, 9), value, np.uint8)
    assert (cut_square(luma, (place, -place, side), size) == value).all()


def test_far_outside_is_the_border() -> None:
    luma = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert (cut_square(luma, (500, 500, 20), 4) == 11).all()
    assert (cut_square(luma, (-500, -500, 20), 4) == 0).all()


def test_crops_of_boxes() -> None:
    luma = np.random.default_rng(0).integers(0, 256, (40, 30)).astype(np.uint8)
    boxes = [Box(3, 4, 10, 12), Box(-5, -5, 9, 9)]
    found = crop_faces(luma, boxes, 16, 1.25)
    assert found.shape == (2, 16, 16)
    assert square_around(boxes[0], 1.25) == (8 - 7.5, 10 - 7.5, 15)
    assert np.array_equal(found[0], cut_square(luma, (0.5, 2.5, 15), 16))
    assert crop_faces(luma, [], 16, 1.25).shape == (0, 16, 16)


_BOXES = st.builds(Box, st.floats(-50, 80), st.floats(-50, 80), st.floats(0.5, 300), st.floats(0.5, 300))


@settings(deadline=None, max_examples=40)
@given(st.lists(_BOXES, max_size=4), st.integers(1, 20))
def test_a_crop_does_not_depend_on_the_other_boxes(boxes: list[Box], size: int) -> None:
    luma = np.random.default_rng(0).integers(0, 256, (40, 30)).astype(np.uint8)
    together = crop_faces(luma, boxes, size, 1.2)
    for box, crop in zip(boxes, together, strict=True):
        assert np.array_equal(crop, crop_faces(luma, [box], size, 1.2)[0])


@pytest.mark.parametrize(
    ("luma", "told"),
    [
        (np.zeros((4, 4, 3), np.uint8), "uint8 (4, 4, 3)"),
        (np.zeros((4, 4)), "float64 (4, 4)"),
        (np.zeros((0, 4), np.uint8), "uint8 (0, 4)"),
    ],
)
def test_what_is_no_luma(luma: np.ndarray, told: str) -> None:
    with pytest.raises(VisionError) as error:
        crop_faces(luma, [], 8, 1.2)
    assert str(error.value) == f"luma: must be uint8 (H, W) with at least one pixel, not {told}"


@pytest.mark.parametrize("box", [Box(0, 0, 0, 5), Box(0, 0, 5, -1), Box(np.nan, 0, 5, 5), Box(0, 0, np.inf, 5)])
def test_what_is_no_box(box: Box) -> None:
    with pytest.raises(VisionError) as error:
        crop_faces(np.zeros((4, 4), np.uint8), [box], 8, 1.2)
    told = (box.left, box.top, box.width, box.height)
    assert str(error.value) == f"box: must be finite with positive width and height, not {told}"


@settings(deadline=None)
@given(st.integers(0, 2**31), st.floats(0.2, 0.8), st.integers(-20, 20))
def test_level_takes_contrast_and_exposure_away(seed: int, gain: float, shift: int) -> None:
    rng = np.random.default_rng(seed)
    crop = rng.integers(20, 230, (1, 16, 16)).astype(np.uint8)
    other = np.floor((crop - 125.0) * gain + 125 + shift + 0.5).astype(np.uint8)
    one, two = level(crop).astype(int), level(other).astype(int)
    assert abs(one.mean() - 128) < 2
    assert abs(one.std() - 48) < 1.5
    assert np.abs(one - two).mean() < 1 + 0.5 / gain  # the rounding of the fainter crop, enlarged


def test_level_leaves_flat_crops_flat() -> None:
    assert (level(np.full((2, 5, 5), 7, np.uint8)) == 128).all()
    faint = np.full((1, 8, 8), 100, np.uint8)
    faint[0, 0, 0] = 101
    assert level(faint).max() - level(faint).min() == 8  # the most gain


def test_no_product_of_matrices_is_asked_of_numpy() -> None:
    # Its BLAS begins threads that wait busily: 128 ms of processor a frame instead of 14, and sums in an order of its own.
    tree = ast.parse(inspect.getsource(crop_module))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.MatMult)]
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not names & {"dot", "einsum", "inner", "linalg", "matmul", "tensordot", "vdot"}
