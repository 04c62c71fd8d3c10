# SPDX-License-Identifier: Apache-2.0
"""Semantic segmentation: a class for every pixel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitlens.train.classify import to_tensor
from bitlens.train.task import Task, TaskSetup

__all__ = ["Segmentation", "class_weights", "confusion", "iou"]

Counts = npt.NDArray[np.int64]


class Masked(Protocol):
    """Images uint8 (N, H, W, 3) with class ids uint8 (N, H, W)."""

    @property
    def images(self) -> npt.NDArray[np.uint8]: ...

    @property
    def masks(self) -> npt.NDArray[np.uint8]: ...


class MaskedSet(Protocol):
    """A training part, a test part, and the names of the classes; larger ids are unlabelled pixels."""

    @property
    def train(self) -> Masked: ...

    @property
    def test(self) -> Masked: ...

    @property
    def classes(self) -> tuple[str, ...]: ...


def class_weights(masks: npt.NDArray[np.uint8], classes: int) -> npt.NDArray[np.float32]:
    """Return median frequency / frequency of every class, (classes,); 0 for a class that does not occur.

    Args:
        masks: class ids; ids from `classes` on do not count.
        classes: how many there are.

    Source: Eigen and Fergus, arXiv 1411.4734; SegNet's CamVid weights.
    """
    counts = np.bincount(masks.reshape(-1), minlength=256)[:classes].astype(np.float64)
    present = counts > 0
    weights = np.zeros(classes, np.float32)
    weights[present] = np.median(counts[present]) / counts[present]
    return weights


def confusion(truths: npt.NDArray[np.uint8], results: npt.NDArray[np.integer], classes: int) -> Counts:
    """Return how many pixels of class i were called j, int64 (classes, classes); unlabelled pixels do not count."""
    known = truths < classes
    pairs = truths[known].astype(np.int64) * classes + results[known]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def iou(counts: Counts) -> npt.NDArray[np.float64]:
    """Return intersection over union of every class, (classes,); NaN where it neither occurs nor is named."""
    hits = np.diag(counts)
    union = counts.sum(0) + counts.sum(1) - hits
    return np.where(union > 0, hits / np.maximum(union, 1), np.nan)


@dataclass(frozen=True)
class Segmentation(TaskSetup):
    """Random crops, mirrored by chance; cross entropy weighted by median frequency; mean IoU on whole test images.

    Args:
        data: from (data folder, cache folder) to the data set.
        crop: height and width of the training crops.
        balance: power of the class weights; 0 counts all pixels alike.
    """

    data: Callable[[str | Path | None, str | Path | None], MaskedSet]
    crop: tuple[int, int]
    balance: float = 1.0

    def open(
        self, data: str | Path | None, cache: str | Path | None, batch: int, seed: int, device: torch.device
    ) -> Task:
        """Read the data set; see `TaskSetup`."""
        return _Opened(self, self.data(data, cache), batch, seed, device)

    def example(self) -> Tensor:
        """Return one black crop (1, 3, H, W)."""
        return torch.zeros(1, 3, *self.crop)


class _Opened(Task):
    metric = "test_miou"

    def __init__(self, setup: Segmentation, dataset: MaskedSet, batch: int, seed: int, device: torch.device) -> None:
        self.setup, self.dataset = setup, dataset
        self.batch_size, self.seed, self.device = batch, seed, device
        weights = class_weights(dataset.train.masks, len(dataset.classes)) ** setup.balance
        self.weights = torch.from_numpy(weights).to(device)

    @property
    def steps(self) -> int:
        """Steps of an epoch; the last incomplete batch is left out, unless it is the only one."""
        return max(1, len(self.dataset.train.images) // self.batch_size)

    def batch(self, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """Return (images (N, 3, H, W), class ids (N, H, W))."""
        train = self.dataset.train
        order = np.random.default_rng([self.seed, epoch, 0]).permutation(len(train.images))
        rng = np.random.default_rng([self.seed, epoch, step + 1])
        images, masks = [], []
        for i in order[step * self.batch_size : (step + 1) * self.batch_size]:
            image, mask = _crop(train.images[i], train.masks[i], self.setup.crop, rng)
            images.append(image)
            masks.append(mask)
        targets = torch.from_numpy(np.stack(masks)).to(self.device, torch.int64)
        return to_tensor(np.stack(images), self.device), targets

    def loss(self, net: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Return the mean weighted cross entropy of labelled pixels."""
        classes = len(self.weights)
        targets = targets.where(targets < classes, -1)
        scores = net(inputs)
        loss = F.cross_entropy(scores, targets, self.weights, ignore_index=-1)
        right = int((scores.detach().argmax(1) == targets).sum())
        return loss, {"loss": loss.item(), "steps": 1, "right": right, "seen": int((targets >= 0).sum())}

    def train_figures(self, sums: dict[str, float]) -> dict[str, float]:
        """Return train_loss and train_pixel_accuracy."""
        return {
            "train_loss": round(sums["loss"] / sums["steps"], 6),
            "train_pixel_accuracy": round(sums["right"] / max(sums["seen"], 1), 6),
        }

    @torch.no_grad()
    def evaluate(self, net: nn.Module) -> dict[str, Any]:
        """Return test_miou, test_pixel_accuracy and test_iou (of every class)."""
        training, test, classes = net.training, self.dataset.test, len(self.dataset.classes)
        net.eval()
        counts = np.zeros((classes, classes), np.int64)
        for start in range(0, len(test.images), self.batch_size):
            chosen = slice(start, start + self.batch_size)
            results = net(to_tensor(test.images[chosen], self.device)).argmax(1).cpu().numpy()
            counts += confusion(test.masks[chosen], results, classes)
        net.train(training)
        each = iou(counts)
        return {
            "test_miou": round(float(np.nanmean(each)), 6),
            "test_pixel_accuracy": round(float(np.diag(counts).sum() / max(counts.sum(), 1)), 6),
            "test_iou": [None if np.isnan(value) else round(float(value), 4) for value in each],
        }


def _crop(
    image: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8], size: tuple[int, int], rng: np.random.Generator
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    top = rng.integers(0, max(mask.shape[0] - size[0], 0) + 1)
    left = rng.integers(0, max(mask.shape[1] - size[1], 0) + 1)
    window = np.s_[top : top + size[0], left : left + size[1]]
    image, mask = image[window], mask[window]
    return (image[:, ::-1], mask[:, ::-1]) if rng.random() < 0.5 else (image, mask)
