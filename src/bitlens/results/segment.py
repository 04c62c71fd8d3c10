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
    run: str | Path, data: str | Path | None, chosen: Sequence[int], cache: str | Path | None = None
) -> tuple[Bytes, Bytes, Bytes, tuple[str, ...]]:
    """Return images (N, H, W, 3), truths (N, H, W), results (N, H, W), all uint8, and the names of the classes.

    Args:
        run: folder of a trained segmentation run.
        data: folder of the data set.
        chosen: numbers of test images.
        cache: folder for decoded images.

    Raises:
        PlotError: the run is no segmentation, or an image does not exist.
    """
    task = find_recipe(read_config(run)["recipe"]).task
    if not isinstance(task, Segmentation):
        raise PlotError(f"{run}: task must be segmentation, not {type(task).__name__}")
    net = frozen_run(run)
    dataset = task.data(data, cache)
    test = dataset.test
    for number in chosen:
        if not 0 <= number < len(test.images):
            raise PlotError(f"plot: images must be 0 to {len(test.images) - 1}, not {number}")
    images, truths = test.images[list(chosen)], test.masks[list(chosen)]
    results = np.concatenate([net(to_batch(image[None])).argmax(1).numpy() for image in images])
    return images, truths, results.astype(np.uint8), dataset.classes
