# SPDX-License-Identifier: Apache-2.0
import math
import sys

import numpy as np
import pytest

from bitlens.data import DataError
from bitlens.data.degrade import jpeg
from bitlens.data.unseen import UNSEEN, arc, disc, h264, twice


def textured(shape: tuple[int, int] = (48, 48)) -> np.ndarray:
    return np.random.default_rng(0).integers(30, 220, shape).astype(np.uint8)


@pytest.mark.parametrize("kind", [*UNSEEN])
def test_every_kind_keeps_size_and_follows_from_the_seed(kind: str) -> None:
    crop = textured((112, 112))
    first, second = (UNSEEN[kind](crop, np.random.default_rng(7)) for _ in range(2))
    assert first.crop.shape == crop.shape
    assert first.crop.dtype == np.uint8
    assert first.amount >= 0
    assert np.array_equal(first.crop, second.crop)
    assert not np.array_equal(first.crop, crop)


def test_a_disc_is_even_and_keeps_the_mean() -> None:
    image = np.zeros((21, 21), np.float32)
    image[10, 10] = 1000.0
    found = disc(image, 4.0)
    assert found.sum() == pytest.approx(1000, rel=1e-5)
    assert found[10, 10] == pytest.approx(found[10, 12], rel=1e-6)  # flat inside, unlike a Gaussian
    assert found[10, 10] == pytest.approx(1000 / (math.pi * 16), rel=0.02)
    assert found[10, 15] == 0
    assert np.array_equal(disc(image, 0.0), image)


def test_a_barely_bent_arc_is_a_straight_line() -> None:
    from bitlens.data.degrade import motion

    image = textured().astype(np.float32)
    for angle in (0.0, 0.7):
        np.testing.assert_allclose(arc(image, 8.0, 1e-6, angle), motion(image, 8.0, angle), atol=0.01)


def test_an_arc_blurs_every_direction() -> None:
    stripes = np.tile(np.array([0, 200], np.float32).repeat(3), (24, 4))
    for image in (stripes, stripes.T):
        assert arc(image, 12.0, math.pi, 0.0).std() < 0.7 * image.std()


def test_twice_without_a_shift_is_two_jpegs() -> None:
    crop = textured()
    padded = np.pad(crop, ((0, 8), (0, 8)), mode="edge")
    assert np.array_equal(twice(crop, 40, 70, (0, 0)), jpeg(jpeg(padded, 40), 70)[:48, :48])
    assert twice(crop, 40, 70, (3, 5)).shape == crop.shape


def test_h264_is_worse_at_a_higher_quantizer() -> None:
    crop = np.pad(textured((24, 24)).repeat(2, 0).repeat(2, 1), 8, mode="edge")
    errors = [np.abs(h264(crop, q, np.random.default_rng(0)).astype(int) - crop).mean() for q in (10, 30, 45)]
    assert errors == sorted(errors)
    assert errors[0] < 4 < errors[2]


def test_h264_without_pyav_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(
        DataError, match=r"^h264: PyAV must be installed \(pip install bitlens\[camera\]\), it is missing$"
    ):
        h264(textured(), 30, np.random.default_rng(0))
