# SPDX-License-Identifier: Apache-2.0
"""The clearness program on persons it never saw, beside the usual measures on the same crops.

Each measure's rank correlation with how much a crop was blurred, and with the structural similarity to the sharp crop, on the
mixture of all degradations and on four kinds that nothing was trained on. Intervals are over persons.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from bitlens.data.agreement import spearman
from bitlens.data.degrade import blur, degrade, draw_mixture
from bitlens.data.faces import faces
from bitlens.data.ssim import structural_similarity
from bitlens.data.unseen import UNSEEN, Unseen
from bitlens.results.persons import milliseconds, over_persons
from bitlens.vision.clearness import Clearness
from bitlens.vision.crop import level

__all__ = [
    "ROWS",
    "Spoiled",
    "agreement",
    "high_frequency_ratio",
    "laplacian_variance",
    "spoil_all",
    "tenengrad",
    "test_samples",
]

Bytes = npt.NDArray[np.uint8]
Reals = npt.NDArray[np.float64]

Measure = Callable[[Bytes], Reals]

_SETS = ("helen", "ytfaces")
_SEED = 41  # of the degradations; other than those of training and of its test
_DRAWS = {"mixture": 3, "disc": 1, "curve": 1, "h264": 1, "twice": 1}  # of every sharp crop
_RATIO_BLUR = 1.5  # pixels


def laplacian_variance(crop: Bytes) -> float:
    """Return the variance of the 3x3 Laplacian (four neighbours less four times the middle)."""
    image = crop.astype(np.float64)
    middle = image[1:-1, 1:-1]
    laplacian = image[:-2, 1:-1] + image[2:, 1:-1] + image[1:-1, :-2] + image[1:-1, 2:] - 4 * middle
    return float(laplacian.var())


def tenengrad(crop: Bytes) -> float:
    """Return the mean squared Sobel gradient."""
    image = crop.astype(np.float64)
    smooth_down = image[:-2] + 2 * image[1:-1] + image[2:]
    smooth_across = image[:, :-2] + 2 * image[:, 1:-1] + image[:, 2:]
    across, down = smooth_down[:, 2:] - smooth_down[:, :-2], smooth_across[2:] - smooth_across[:-2]
    return float((across**2 + down**2).mean())


def high_frequency_ratio(crop: Bytes) -> float:
    """Return the variance of what a Gaussian of 1.5 pixels takes away, over the crop's; 0 for a flat one."""
    image = crop.astype(np.float32)
    variance = float(image.var())
    return float((image - blur(image, _RATIO_BLUR)).var()) / variance if variance else 0.0


class Spoiled(NamedTuple):
    """Crops of one kind of degradation and the truth about them.

    Args:
        crops: uint8 (N, H, W).
        persons: whose they are, (N,), numbers.
        blurred: how much, (N,), more is worse.
        likeness: structural similarity to the sharp crop, (N,), both at one mean and contrast.
        plain: the same, as the crops are.
    """

    crops: Bytes
    persons: npt.NDArray[np.int64]
    blurred: Reals
    likeness: Reals
    plain: Reals


def spoil_all(sharp: Bytes, persons: npt.NDArray[np.int64], kind: str) -> Spoiled:
    """Make sharp crops (N, H, W) worse by one kind: "mixture", or a name of `UNSEEN`."""
    rng = np.random.default_rng([_SEED, [*_DRAWS].index(kind)])
    numbers = np.repeat(np.arange(len(sharp)), _DRAWS[kind])
    worse = [_worse(sharp[number], kind, rng) for number in tqdm(numbers, desc=kind, disable=None, leave=False)]
    crops = np.stack([one.crop for one in worse])
    levelled = zip(level(sharp)[numbers], level(crops), strict=True)
    return Spoiled(
        crops,
        persons[numbers],
        np.array([one.amount for one in worse]),
        np.array([structural_similarity(clean, spoilt) for clean, spoilt in levelled]),
        np.array([structural_similarity(sharp[n], one.crop) for n, one in zip(numbers, worse, strict=True)]),
    )


def _worse(crop: Bytes, kind: str, rng: np.random.Generator) -> Unseen:
    if kind != "mixture":
        return UNSEEN[kind](crop, rng)
    amounts = draw_mixture(rng)
    return Unseen(degrade(crop, amounts, rng), amounts.sigma)


@lru_cache(maxsize=1)
def test_samples(data: Path | None, limit: int | None = None) -> dict[str, Spoiled]:
    """Return the sharp crops of the test persons, made worse by each kind.

    Args:
        data: folder of the face sets.
        limit: sharp crops at most, from the first; all when None.

    Raises:
        bitlens.data.DataError: the data is missing or damaged, or PyAV is not installed.
    """
    from bitlens.train.clearness import sharp_crops  # needs torch; the names of the rows do not

    sharp = sharp_crops(p for p in faces(data, *_SETS) if p.split == "test")
    return {kind: spoil_all(sharp.crops[:limit], sharp.persons[:limit], kind) for kind in _DRAWS}


def agreement(measure: Measure, samples: dict[str, Spoiled]) -> dict[str, Any]:
    """Return a measure's rank correlations with the truths, by kind; each [value, low, high] over persons."""
    figures: dict[str, Any] = {}
    for kind, own in samples.items():
        score = measure(own.crops)
        truths = {"blur": -own.blurred, "likeness": own.likeness, "likeness with contrast": own.plain}
        for name, truth in truths.items():
            figures[f"rank correlation with {name}, {kind}"] = over_persons(
                partial(_ordering, score, truth), own.persons
            )
    return figures


def _ordering(score: Reals, truth: Reals, chosen: npt.NDArray[np.int64]) -> float:
    return spearman(score[chosen], truth[chosen])


def _row(measure: Callable[[], Measure]) -> Callable[[Path | None], dict[str, Any]]:
    return lambda data: agreement(measure(), test_samples(data))


def _each(measure: Callable[[Bytes], float]) -> Measure:
    return lambda crops: np.array([measure(crop) for crop in crops])


def _size_and_speed(data: Path | None) -> dict[str, Any]:
    samples, clearness = test_samples(data)["mixture"], Clearness()
    return {
        "sharp crops": len(samples.crops) // _DRAWS["mixture"],
        "persons": len(np.unique(samples.persons)),
        **milliseconds(lambda: clearness.score(samples.crops[:1])),
    }


ROWS: dict[str, Callable[[Path | None], dict[str, Any]]] = {
    "clearness, score": _row(lambda: Clearness().score),
    "clearness, sharpness": _row(lambda: lambda crops: Clearness().figures(crops).sharpness),
    "clearness, likeness": _row(lambda: lambda crops: Clearness().figures(crops).likeness),
    "clearness, Laplacian variance": _row(lambda: _each(laplacian_variance)),
    "clearness, Tenengrad": _row(lambda: _each(tenengrad)),
    "clearness, high-frequency ratio": _row(lambda: _each(high_frequency_ratio)),
    "clearness, size and speed": _size_and_speed,
}
