# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from bitlens.vision import Box
from bitlens.vision.exposure import exposure


def _frame(value: int) -> np.ndarray:
    return np.full((50, 60), value, np.uint8)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0.0),
        (8, 0.0),
        (10, 0.0),
        (32, 2200 / 45),
        (55, 100.0),
        (128, 100.0),
        (195, 100.0),
        (220, 50.0),
        (247, 0.0),
        (255, 0.0),
    ],
)
def test_an_even_face_counts_by_its_mean(value: int, expected: float) -> None:
    assert exposure(_frame(value), Box(5, 5, 30, 30)) == pytest.approx(expected)


def test_clipped_pixels_do_not_count() -> None:
    luma = _frame(100)
    luma[:, :20] = 0
    luma[:, 40:] = 255
    assert exposure(luma, Box(0, 0, 60, 50)) == pytest.approx(100 / 3, abs=2)


def test_only_the_part_inside_the_frame_counts() -> None:
    luma = _frame(128)
    assert exposure(luma, Box(-20, -20, 30, 30)) == 100.0
    assert exposure(luma, Box(60, 0, 30, 30)) == 0.0
    assert exposure(luma, Box(0, -30, 30, 30)) == 0.0
