# SPDX-License-Identifier: Apache-2.0
"""The clearness program on persons it never saw, beside the usual measures on the same crops.

Each measure's rank correlation with how much a crop was blurred, and with the structural similarity to the sharp crop, on the
mixture of all degradations and on four kinds that nothing was trained on. Intervals are over persons.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
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
from bitlens.results.persons import over_persons, told
from bitlens.runtime.session import Source
from bitlens.train.clearness import sharp_crops
from bitlens.vision.clearness import Clearness, clearness_of
from bitlens.vision.crop import level

__all__ = ["clearness_table", "high_frequency_ratio", "laplacian_variance", "render_clearness", "tenengrad"]

Bytes = npt.NDArray[np.uint8]
Reals = npt.NDArray[np.float64]

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


PEERS: dict[str, Callable[[Bytes], float]] = {
    "Laplacian variance": laplacian_variance,
    "Tenengrad": tenengrad,
    "high-frequency ratio": high_frequency_ratio,
}


class Judged(NamedTuple):
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


def judged(sharp: Bytes, persons: npt.NDArray[np.int64], kind: str) -> Judged:
    """Make sharp crops (N, H, W) worse by one kind: "mixture", or a name of `UNSEEN`."""
    rng = np.random.default_rng([_SEED, [*_DRAWS].index(kind)])
    numbers = np.repeat(np.arange(len(sharp)), _DRAWS[kind])
    worse = [_worse(sharp[number], kind, rng) for number in tqdm(numbers, desc=kind, disable=None, leave=False)]
    crops = np.stack([one.crop for one in worse])
    levelled = zip(level(sharp)[numbers], level(crops), strict=True)
    return Judged(
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


def clearness_table(data: str | Path | None, source: Source | None = None, limit: int | None = None) -> dict[str, Any]:
    """Judge the clearness program and the usual measures on the test persons.

    Args:
        data: folder of the face sets.
        source: a compiled `face_clearness` program; the one that comes with bitlens when None.
        limit: sharp crops at most, from the first; all when None.

    Returns:
        "crops", "persons", "milliseconds" (a crop, one thread, levelling included), and "rows": one dict for each kind and
        measure with "kind", "measure", and "blur", "likeness", "plain_likeness" (rank correlations) as
        [value, low, high].

    Raises:
        bitlens.data.DataError: the data is missing or damaged.
    """
    found = sharp_crops(p for p in faces(data, *_SETS) if p.split == "test")
    sharp, persons = found.crops[:limit], found.persons[:limit]
    clearness = Clearness(source)
    rows = []
    for kind in _DRAWS:
        samples = judged(sharp, persons, kind)
        figures = clearness.figures(samples.crops)
        measures = {
            "bitlens score": clearness_of(figures),
            "bitlens sharpness": figures.sharpness,
            "bitlens likeness": figures.likeness,
            **{name: np.array([measure(crop) for crop in samples.crops]) for name, measure in PEERS.items()},
        }
        rows += [{"kind": kind, "measure": name, **_agreement(score, samples)} for name, score in measures.items()]
    return {
        "crops": len(sharp),
        "persons": len(np.unique(persons)),
        "milliseconds": _milliseconds(clearness, sharp),
        "rows": rows,
    }


def render_clearness(report: dict[str, Any]) -> str:
    """Return the table as Markdown: rank correlations, and what 95 of 100 draws of persons give."""
    head = (
        "| degradation | measure | with blur | with likeness | with likeness, contrast counted |\n|---|---|---|---|---|"
    )
    lines = [
        f"| {row['kind']} | {row['measure']} | {told(row['blur'], 3)} | {told(row['likeness'], 3)} "
        f"| {told(row['plain_likeness'], 3)} |"
        for row in report["rows"]
    ]
    counts = f"{report['crops']} sharp crops of {report['persons']} persons"
    return "\n".join([f"{counts}; {report['milliseconds']:.2f} ms a crop, one thread", "", head, *lines])


def _agreement(score: Reals, samples: Judged) -> dict[str, list[float]]:
    truths = {"blur": -samples.blurred, "likeness": samples.likeness, "plain_likeness": samples.plain}
    return {name: over_persons(partial(_ordering, score, truth), samples.persons) for name, truth in truths.items()}


def _ordering(score: Reals, truth: Reals, chosen: npt.NDArray[np.int64]) -> float:
    return spearman(score[chosen], truth[chosen])


def _milliseconds(clearness: Clearness, crops: Bytes) -> float:
    """The best of some runs over up to 32 crops, a crop."""
    crops, times = crops[:32], []
    for _ in range(5):
        started = time.perf_counter()
        clearness.score(crops)
        times.append(time.perf_counter() - started)
    return 1000 * min(times) / len(crops)
