# SPDX-License-Identifier: Apache-2.0
"""Semantic segmentation: a class for every pixel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitlens.data import MaskedDataset, MaskedSplit
from bitlens.train.classify import to_tensor
from bitlens.train.task import Task, TaskSetup

__all__ = ["Segmentation", "class_weights", "confusion", "iou"]

Bytes = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.int64]


def class_weights(masks: Bytes, classes: int) -> npt.NDArray[np.float32]:
    """Return median frequency / frequency of every class, (classes,); 0 for a class that does not occur.

    A class's frequency is its share of the pixels of those images in which it occurs.

    Args:
        masks: class ids (N, H, W); ids from `classes` on do not count.
        classes: how many there are.

    Source: Eigen and Fergus, arXiv 1411.4734 section 6.3; so are SegNet's CamVid weights made.
    """
    counts = np.stack([np.bincount(mask.reshape(-1), minlength=256)[:classes] for mask in masks])  # (N, classes)
    pixels = (counts > 0).sum(0) * masks[0].size  # of the images with the class
    present = pixels > 0
    frequency = counts.sum(0)[present] / pixels[present]
    weights = np.zeros(classes, np.float32)
    weights[present] = np.median(frequency) / frequency
    return weights


def confusion(truths: Bytes, results: npt.NDArray[np.integer], classes: int) -> Counts:
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
        data: from (data folder, cache folder) to the data set; class ids that are no class count nowhere.
        crop: height and width of the training crops.
        zoom: a crop is cut up to so many times smaller or larger, then scaled to `crop`; 1 cuts it as it is.
        balance: power of the class weights; 0 counts all pixels alike.
    """

    data: Callable[[str | Path | None, str | Path | None], MaskedDataset]
    crop: tuple[int, int]
    zoom: float = 1.0
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

    def __init__(
        self, setup: Segmentation, dataset: MaskedDataset, batch: int, seed: int, device: torch.device
    ) -> None:
        self.setup, self.dataset = setup, dataset
        self.batch_size, self.seed, self.device = batch, seed, device
        weights = class_weights(dataset.train.masks, len(dataset.classes)) ** setup.balance
        self.weights = torch.from_numpy(weights).to(device)

    @property
    def steps(self) -> int:
        """Steps of an epoch; the last incomplete batch is left out, unless it is the only one."""
        return max(1, len(self.dataset.train) // self.batch_size)

    @property
    def fewest(self) -> int:
        """Samples of the smallest step."""
        return min(len(self.dataset.train), self.batch_size)

    def batch(self, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """Return (images (N, 3, H, W), class ids (N, H, W))."""
        train = self.dataset.train
        order = np.random.default_rng([self.seed, epoch, 0]).permutation(len(train))
        rng = np.random.default_rng([self.seed, epoch, step + 1])
        images, masks = [], []
        for i in order[step * self.batch_size : (step + 1) * self.batch_size]:
            image, mask = _crop(train.images[i], train.masks[i], self.setup, rng)
            images.append(image)
            masks.append(mask)
        targets = torch.from_numpy(np.stack(masks)).to(self.device, torch.int64)
        return to_tensor(np.stack(images), self.device), targets

    def loss(self, net: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Return the mean weighted cross entropy of labelled pixels; 0 where there are none."""
        known = targets < len(self.weights)
        scores = net(inputs)
        total = F.cross_entropy(scores, targets.where(known, -1), self.weights, ignore_index=-1, reduction="sum")
        weight = self.weight(targets)
        right = ((scores.detach().argmax(1) == targets) & known).sum()
        figures = {"loss": total.detach().double(), "weight": weight.double(), "right": right, "seen": known.sum()}
        return total / weight, figures

    def weight(self, targets: Tensor) -> Tensor:
        """Return the weights of labelled pixels together, at least 1e-12."""
        known = targets < len(self.weights)
        # Weights are looked up for all pixels and masked: how many are known would have to be waited for.
        return (self.weights[targets.where(known, 0)] * known).sum().clamp(min=1e-12)

    def train_figures(self, sums: dict[str, float]) -> dict[str, float]:
        """Return train_loss, over the weights of all labelled pixels of the epoch, and train_pixel_accuracy."""
        return {
            "train_loss": round(sums["loss"] / sums["weight"], 6),
            "train_pixel_accuracy": round(sums["right"] / max(sums["seen"], 1), 6),
        }

    def evaluate(self, net: nn.Module) -> dict[str, Any]:
        """Return val_miou, to choose by, and test_miou, test_pixel_accuracy and test_iou (of every class)."""
        counts = self._counts(net, self.dataset.test)
        each = iou(counts)
        return {
            "val_miou": round(float(np.nanmean(iou(self._counts(net, self.dataset.val)))), 6),
            "test_miou": round(float(np.nanmean(each)), 6),
            "test_pixel_accuracy": round(float(np.diag(counts).sum() / max(counts.sum(), 1)), 6),
            "test_iou": [None if np.isnan(value) else round(float(value), 4) for value in each],
        }

    @torch.no_grad()
    def _counts(self, net: nn.Module, part: MaskedSplit) -> Counts:
        """Return the confusion of a part's whole images; the net's mode is kept."""
        training, classes = net.training, len(self.dataset.classes)
        net.eval()
        counts = np.zeros((classes, classes), np.int64)
        for start in range(0, len(part), self.batch_size):
            chosen = slice(start, start + self.batch_size)
            results = net(to_tensor(part.images[chosen], self.device)).argmax(1).cpu().numpy()
            counts += confusion(part.masks[chosen], results, classes)
        net.train(training)
        return counts


def _crop(image: Bytes, mask: Bytes, setup: Segmentation, rng: np.random.Generator) -> tuple[Bytes, Bytes]:
    """Return a random crop (H, W, 3) with its classes (H, W)."""
    scale = setup.zoom ** rng.uniform(-1, 1)
    height, width = (min(round(side * scale), whole) for side, whole in zip(setup.crop, mask.shape, strict=True))
    top, left = rng.integers(0, mask.shape[0] - height + 1), rng.integers(0, mask.shape[1] - width + 1)
    window = np.s_[top : top + height, left : left + width]
    image, mask = image[window], mask[window]
    if rng.random() < 0.5:
        image, mask = image[:, ::-1], mask[:, ::-1]
    return (image, mask) if (height, width) == setup.crop else _scaled(image, mask, setup.crop)


def _scaled(image: Bytes, mask: Bytes, size: tuple[int, int]) -> tuple[Bytes, Bytes]:
    """Scale an image bilinearly and its classes by the nearest pixel."""
    planes = torch.from_numpy(image.copy()).permute(2, 0, 1)[None]  # (1, 3, h, w)
    scaled = F.interpolate(planes, size, mode="bilinear", antialias=True)[0].permute(1, 2, 0)  # (H, W, 3)
    rows, columns = (
        ((np.arange(side) + 0.5) * whole / side).astype(int) for side, whole in zip(size, mask.shape, strict=True)
    )
    return scaled.numpy(), mask[rows][:, columns]
