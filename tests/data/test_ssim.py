# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from bitlens.data.ssim import structural_similarity


def slow_similarity(a: np.ndarray, b: np.ndarray) -> float:
    """The formula, window by window."""
    c1, c2 = 2.55**2, 7.65**2
    found = []
    for i in range(a.shape[0] - 6):
        for j in range(a.shape[1] - 6):
            x, y = (image[i : i + 7, j : j + 7].astype(float).ravel() for image in (a, b))
            (xx, xy), (_, yy) = np.cov(x, y)
            mx, my = x.mean(), y.mean()
            found.append((2 * mx * my + c1) * (2 * xy + c2) / ((mx**2 + my**2 + c1) * (xx + yy + c2)))
    return float(np.mean(found))


@pytest.mark.parametrize("shape", [(7, 7), (7, 12), (15, 11)])
def test_equals_the_formula(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(0, 256, shape).astype(np.uint8)
    b = np.clip(a + rng.normal(0, 30, shape), 0, 255).astype(np.uint8)
    assert structural_similarity(a, b) == pytest.approx(slow_similarity(a, b), rel=1e-9)
    assert structural_similarity(a, a) == pytest.approx(1.0)


def test_more_noise_is_less_alike() -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (20, 20)).astype(np.float64)
    noise = rng.normal(0, 1, image.shape)
    found = [structural_similarity(image, image + amount * noise) for amount in (0, 5, 20, 80)]
    assert found == sorted(found, reverse=True)
