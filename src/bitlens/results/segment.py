# SPDX-License-Identifier: Apache-2.0
"""Segmentations: the mean IoU of a compiled program, and pictures of what a run's net says for `bitlens plot segments`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from bitlens.plots.canvas import PlotError
from bitlens.quant import Spec
from bitlens.results.forms import Form
from bitlens.results.line import frozen_run, to_batch
from bitlens.train import Segmentation, find_recipe, read_config
from bitlens.train.segment import confusion, iou

__all__ = ["program_iou", "segments_of"]

Bytes = npt.NDArray[np.uint8]


def program_iou(form: Form, images: Bytes, masks: npt.NDArray[np.int64]) -> float:
    """Return a program's mean intersection over union, every pixel's class being its largest real output.

    Args:
        form: the program.
        images: uint8 (N, H, W, 3).
        masks: classes (N, H, W); what the program has no output for does not count.
    """
    counts: npt.NDArray[np.int64] | None = None
    for image, mask in zip(tqdm(images, desc="eval", disable=None, leave=False), masks, strict=True):
        (scores, *_) = form.run(image[None], real=True).values()
        found = confusion(mask[None].astype(np.uint8), scores.argmax(axis=3), scores.shape[3])
        counts = found if counts is None else counts + found
    assert counts is not None
    return float(np.nanmean(iou(counts)))


@torch.no_grad()
def segments_of(
    runs: Sequence[str | Path], data: str | Path | None, chosen: Sequence[int], cache: str | Path | None = None
) -> tuple[Bytes, Bytes, dict[str, Bytes], tuple[str, ...]]:
    """Return images (N, H, W, 3), truths (N, H, W), results (N, H, W) of each run, all uint8, and the names of the classes.

    Results stand by the bits of the run, such as "w2a2"; by its folder where two have the same, by its path where these do.

    Args:
        runs: folders of trained runs of one segmentation recipe.
        data: folder of the data set.
        chosen: numbers of test images.
        cache: folder for decoded images.

    Raises:
        PlotError: a run is no segmentation or of another recipe, or an image does not exist.
    """
    configs = [read_config(run) for run in runs]
    recipes = [config["recipe"] for config in configs]
    if len(set(recipes)) != 1:
        raise PlotError(f"plot: runs must be of one recipe, not {', '.join(sorted(set(recipes)))}")
    task = find_recipe(recipes[0]).task
    if not isinstance(task, Segmentation):
        raise PlotError(f"{runs[0]}: task must be segmentation, not {type(task).__name__}")
    bits = [Spec.parse(config["bits"]).middle for config in configs]
    titles = [f"w{own.weight}a{own.activation}" for own in bits]
    for longer in ([Path(run).name for run in runs], [str(run) for run in runs]):
        titles = [title if titles.count(title) == 1 else own for title, own in zip(titles, longer, strict=True)]
    dataset = task.data(data, cache)
    test = dataset.test
    for number in chosen:
        if not 0 <= number < len(test.images):
            raise PlotError(f"plot: images must be 0 to {len(test.images) - 1}, not {number}")
    images, truths = test.images[list(chosen)], test.masks[list(chosen)]
    results = {
        title: np.concatenate([net(to_batch(image[None])).argmax(1).numpy() for image in images]).astype(np.uint8)
        for title, net in zip(titles, map(frozen_run, runs), strict=True)
    }
    return images, truths, results, dataset.classes
