# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from sklearn.datasets import load_sample_image

from bitlens.data.degrade import Degradation, degrade
from bitlens.vision import VisionError
from bitlens.vision.clearness import Clearness, ClearnessFigures, clearness_of


@pytest.fixture(scope="module")
def clearness() -> Clearness:
    return Clearness()


@pytest.fixture(scope="module")
def photographs() -> np.ndarray:
    """Sharp parts of two photographs with much detail, uint8 (4, 112, 112)."""
    parts = []
    for name, places in (("china.jpg", [(190, 230), (190, 380)]), ("flower.jpg", [(120, 180), (180, 280)])):
        luma = load_sample_image(name).mean(2)
        parts += [luma[top : top + 112, left : left + 112] for top, left in places]
    return np.stack(parts).astype(np.uint8)


def test_a_batch_is_its_crops_one_by_one(clearness: Clearness) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (5, 112, 112)).astype(np.uint8)
    found = clearness.score(crops)
    assert found.shape == (5,)
    assert found.dtype == np.float64
    assert np.array_equal(found, np.concatenate([clearness.score(crop[None]) for crop in crops]))
    assert np.array_equal(found, Clearness(threads=3).score(crops))
    assert ((found >= 0) & (found <= 100)).all()
    assert clearness.score(crops[:0]).shape == (0,)


def test_blur_lowers_sharpness_under_noise_and_jpeg(clearness: Clearness, photographs: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    amounts = [Degradation(sigma=sigma, noise=4.0, gain=0.7, quality=60) for sigma in (1.0, 3.0, 4.0)]
    worse = [np.stack([degrade(part, amount, rng) for part in photographs]) for amount in amounts]
    slightly, more, most = (clearness.figures(crops).sharpness for crops in worse)
    assert (slightly > more).all()
    assert (more > most).all()
    assert (clearness.score(worse[0]) > clearness.score(worse[2]) + 5).all()


def test_contrast_and_exposure_hardly_matter(clearness: Clearness, photographs: np.ndarray) -> None:
    fainter = (photographs * 0.5 + 20).astype(np.uint8)
    assert np.abs(clearness.score(photographs) - clearness.score(fainter)).max() < 8


def test_flat_and_extreme_crops_have_a_score(clearness: Clearness) -> None:
    crops = np.stack([np.full((112, 112), value, np.uint8) for value in (0, 128, 255)])
    found = clearness.score(crops)
    assert np.isfinite(found).all()
    assert found[0] == found[1] == found[2]


def test_the_score_is_the_mean_within_0_and_100() -> None:
    figures = ClearnessFigures(np.array([1.0, 0.2, -0.5, 1.4]), np.array([0.6, 0.3, -0.1, 1.1]))
    assert clearness_of(figures).tolist() == pytest.approx([80.0, 25.0, 0.0, 100.0])


@pytest.mark.parametrize(
    "crops", [np.zeros((2, 64, 64), np.uint8), np.zeros((2, 112, 112)), np.zeros((112, 112), np.uint8)]
)
def test_other_crops_are_refused(clearness: Clearness, crops: np.ndarray) -> None:
    with pytest.raises(VisionError) as error:
        clearness.score(crops)
    assert str(error.value) == f"crops: must be uint8 (N, 112, 112), not {crops.dtype} {crops.shape}"
