# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest
from PIL import Image

from bitlens.data import central_box, cut, random_box


def picture(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("size", [(500, 375), (64, 64), (30, 31), (300, 20), (20, 300), (1, 1), (1, 50)])
def test_random_boxes_lie_inside_and_have_the_shares_allowed(size: tuple[int, int]) -> None:
    width, height = size
    rng = np.random.default_rng(0)
    for _ in range(200):
        left, top, right, bottom = random_box(width, height, rng)
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        if min(size) >= 300:
            assert 0.078 < (right - left) * (bottom - top) / (width * height) <= 1
            assert 0.74 < (right - left) / (bottom - top) < 1.35


def test_random_boxes_fill_the_range_of_areas_and_ratios() -> None:
    rng = np.random.default_rng(0)
    boxes = np.array([random_box(400, 400, rng) for _ in range(2000)])
    across, down = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    assert np.quantile(across * down / 400**2, [0.01, 0.5]) == pytest.approx([0.09, 0.5], abs=0.05)
    assert np.quantile(np.log(across / down), [0.01, 0.5, 0.99]) == pytest.approx(
        [-math.log(4 / 3), 0, math.log(4 / 3)], abs=0.02
    )
    assert len({tuple(box) for box in boxes.tolist()}) > 1900


def test_where_no_box_fits_the_middle_is_taken() -> None:
    rng = np.random.default_rng(0)
    assert random_box(300, 3, rng) == (148, 0, 152, 3)
    assert random_box(3, 300, rng) == (0, 148, 3, 152)


@pytest.mark.parametrize("size", [(500, 375), (375, 500), (256, 256), (224, 300), (100, 101), (1000, 260)])
def test_the_middle_is_that_of_the_scaled_picture(size: tuple[int, int]) -> None:
    whole = picture(*size)
    short = min(size)
    scaled = whole.resize((256 * size[0] // short, 256 * size[1] // short), Image.Resampling.BILINEAR)
    left, top = round((scaled.width - 224) / 2), round((scaled.height - 224) / 2)
    slow = np.asarray(scaled.crop((left, top, left + 224, top + 224))).astype(int)
    fast = cut(whole, central_box(*size, 224), 224)
    assert fast.shape == (224, 224, 3)
    assert abs(fast - slow).max() <= 1  # the box is float32 inside Pillow


@pytest.mark.parametrize("size", [1, 2, 3, 8, 57])
def test_middles_of_any_size_lie_inside(size: int) -> None:
    for width, height in ((7, 7), (7, 11), (97, 13)):
        box = central_box(width, height, size)
        assert 0 <= box[0] < box[2] <= width
        assert 0 <= box[1] < box[3] <= height
        assert cut(picture(width, height), box, size).shape == (size, size, 3)


def test_a_box_of_the_output_size_is_cut_as_it_is() -> None:
    whole = picture(9, 7)
    assert np.array_equal(cut(whole, (3, 1, 7, 5), 4), np.asarray(whole)[1:5, 3:7])
