# SPDX-License-Identifier: Apache-2.0
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlens.data.degrade import (
    Degradation,
    blur,
    degrade,
    draw_mixture,
    draw_training,
    jpeg,
    motion,
    moved,
    resized,
    to_bytes,
    webp,
)

FLAT = np.full((24, 20), 90, np.uint8)
seeds = st.integers(0, 2**32 - 1)


def textured(seed: int = 0, shape: tuple[int, int] = (32, 28)) -> np.ndarray:
    return np.random.default_rng(seed).integers(30, 220, shape).astype(np.uint8)


def slow_blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Every pixel's weighted mean, the border going on outside."""
    reach = math.ceil(4 * sigma)
    out = np.zeros(image.shape)
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            total = weight = 0.0
            for dy in range(-reach, reach + 1):
                for dx in range(-reach, reach + 1):
                    share = math.exp(-(dy * dy + dx * dx) / (2 * sigma * sigma))
                    row, column = min(max(y + dy, 0), image.shape[0] - 1), min(max(x + dx, 0), image.shape[1] - 1)
                    total, weight = total + share * image[row, column], weight + share
            out[y, x] = total / weight
    return out


@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.5])
def test_blur_is_the_gaussian_mean(sigma: float) -> None:
    image = textured(shape=(9, 13)).astype(np.float32)
    np.testing.assert_allclose(blur(image, sigma), slow_blur(image, sigma), rtol=1e-5)


def test_a_motion_by_whole_pixels_is_a_mean_of_shifts() -> None:
    image = textured(shape=(8, 11)).astype(np.float32)
    padded = np.pad(image, 1, mode="edge")
    means = (padded[1:-1, :-2] + padded[1:-1, 1:-1] + padded[1:-1, 2:]) / 3
    np.testing.assert_allclose(moved(image, np.zeros(3), np.array([-1.0, 0.0, 1.0])), means, rtol=1e-6)


def test_a_motion_blurs_along_its_direction_only() -> None:
    stripes = np.tile(np.array([0, 200], np.float32).repeat(3), (24, 4))  # (24, 24), across
    down, across = motion(stripes, 6.0, math.pi / 2), motion(stripes, 6.0, 0.0)
    np.testing.assert_allclose(down, stripes, atol=1e-4)
    assert across.std() < 0.35 * stripes.std()


@settings(deadline=None)
@given(seeds)
def test_what_is_drawn_lies_in_the_stated_ranges(seed: int) -> None:
    amounts = draw_mixture(np.random.default_rng(seed))
    assert 0 <= amounts.sigma <= 4
    assert amounts.side is not None
    assert 40 <= amounts.side <= 120
    assert 0.4 <= amounts.gain <= 1.2
    assert amounts.mean is not None
    assert 60 <= amounts.mean <= 170
    assert 0 <= amounts.noise <= 12
    assert amounts.quality is not None
    assert 30 <= amounts.quality <= 95
    assert (amounts.length, amounts.angle) == (0.0, 0.0)


@settings(deadline=None)
@given(seeds)
def test_every_drawn_degradation_keeps_size_and_follows_from_the_seed(seed: int) -> None:
    crop = textured(seed)
    for draw in (draw_mixture, draw_training):
        amounts = draw(np.random.default_rng(seed))
        first, second = (degrade(crop, amounts, np.random.default_rng(seed)) for _ in range(2))
        assert first.shape == crop.shape
        assert first.dtype == np.uint8
        assert np.array_equal(first, second)


def test_training_covers_more_than_the_mixture() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_training(rng) for _ in range(500)]
    assert any(amounts.length > 8 for amounts in drawn)
    assert any(amounts.side is not None and amounts.side < 40 for amounts in drawn)
    webps = [amounts for amounts in drawn if amounts.codec == "webp" and amounts.quality is not None]
    assert 0.22 < len(webps) / len(drawn) < 0.32
    assert min(amounts.quality for amounts in webps) < 20
    assert any(amounts.length == 0 and amounts.side is not None and amounts.side > 40 for amounts in webps)
    assert any(amounts.side is None and amounts.noise == 0 and amounts.quality is None for amounts in drawn)


def test_nothing_done_changes_nothing() -> None:
    crop = textured()
    assert np.array_equal(degrade(crop, Degradation(), np.random.default_rng(0)), crop)


def test_each_amount_does_what_it_says() -> None:
    rng = np.random.default_rng(0)
    crop = textured(shape=(64, 64))
    assert np.array_equal(degrade(FLAT, Degradation(sigma=3.0, length=5.0, side=12), rng), FLAT)
    assert abs(degrade(crop, Degradation(gain=0.5), rng).std() / crop.std() - 0.5) < 0.01
    assert abs(degrade(crop, Degradation(gain=0.3, mean=100.0), rng).mean() - 100) < 0.1
    assert abs((degrade(np.full((64, 64), 128, np.uint8), Degradation(noise=8.0), rng)).std() - 8) < 0.3
    assert np.array_equal(degrade(crop, Degradation(quality=50), rng), jpeg(crop, 50))
    assert np.array_equal(degrade(crop, Degradation(quality=50, codec="webp"), rng), webp(crop, 50))
    halved = to_bytes(resized(crop.astype(np.float32), (32, 32)))
    doubled = to_bytes(resized(halved.astype(np.float32), (64, 64)))
    assert np.array_equal(degrade(crop, Degradation(side=32), rng), doubled)


@pytest.mark.parametrize("code", [jpeg, webp])
def test_a_lower_quality_is_further_off(code: Callable[[np.ndarray, int], np.ndarray]) -> None:
    crop = degrade(textured(shape=(64, 64)), Degradation(sigma=1.0), np.random.default_rng(0))
    errors = [np.abs(code(crop, quality).astype(int) - crop).mean() for quality in (90, 50, 10)]
    assert errors == sorted(errors)
    assert code(crop, 90).shape == crop.shape
    assert np.array_equal(code(crop, 30), code(crop, 30))


def test_more_blur_leaves_less_detail() -> None:
    crop = textured(shape=(48, 48))
    rng = np.random.default_rng(0)
    found = [np.diff(degrade(crop, Degradation(sigma=s), rng).astype(float)).var() for s in (0, 0.5, 1, 2, 4)]
    assert found == sorted(found, reverse=True)


def test_bytes_round_half_up_and_clip() -> None:
    assert to_bytes(np.array([-3.0, 0.49, 0.5, 254.5, 300.0])).tolist() == [0, 0, 1, 255, 255]
