# SPDX-License-Identifier: Apache-2.0
"""Classification of images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitlens.data import Dataset, Split, centred, random_places, scattered
from bitlens.data.dataset import spaced
from bitlens.train.task import Task, TaskSetup

__all__ = ["Classification", "Classifying", "accuracies", "evaluate", "to_tensor"]

Images = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]


def to_tensor(images: Images, device: torch.device) -> Tensor:
    """Turn uint8 images (N, H, W, C) into float32 u/255, (N, C, H, W) in channels-last memory."""
    return torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float().div_(255.0)  # (N, C, H, W)


@torch.no_grad()
def accuracies(net: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], ranks: Sequence[int]) -> list[float]:
    """Return for every rank the share of inputs whose class is among so many best guesses of a net.

    Args:
        net: its mode is kept.
        batches: inputs and their classes (N,), on the net's device.
        ranks: 1 for the share that is classified rightly. Of equal scores the first class is guessed first.
    """
    training = net.training
    net.eval()
    right, seen = [0] * len(ranks), 0
    for inputs, targets in batches:
        hits = net(inputs).argsort(dim=1, descending=True, stable=True) == targets[:, None]  # (N, classes)
        right = [count + int(hits[:, :rank].sum()) for count, rank in zip(right, ranks, strict=True)]
        seen += len(targets)
    net.train(training)
    return [count / seen for count in right]


def evaluate(net: nn.Module, split: Split, size: int, device: torch.device, batch: int = 500) -> float:
    """Return the share of images of a split that the net classifies rightly; images are centred on the canvas."""
    parts = (slice(start, start + batch) for start in range(0, len(split), batch))
    batches = (
        (to_tensor(centred(split.images[part], size), device), torch.tensor(split.labels[part], device=device))
        for part in parts
    )
    return accuracies(net, batches, [1])[0]


class Classifying(Task):
    """What tasks of classification share, wherever their images come from: order, loss, figures of training.

    Args:
        images: of the training part.
        batch, seed, device: see `TaskSetup.open`.
    """

    metric = "test_accuracy"

    def __init__(self, images: int, batch: int, seed: int, device: torch.device) -> None:
        self.images, self.batch_size, self.seed, self.device = images, batch, seed, device
        self._order: tuple[int, Numbers] | None = None

    @property
    def steps(self) -> int:
        """Steps of an epoch; the last incomplete batch is left out, unless it is the only one."""
        return max(1, self.images // self.batch_size)

    @property
    def fewest(self) -> int:
        """Samples of the smallest step."""
        return min(self.images, self.batch_size)

    def chosen(self, epoch: int, step: int) -> tuple[Numbers, np.random.Generator]:
        """Return the numbers of a step's images and the source of their augmentation."""
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, np.random.default_rng([self.seed, epoch, 0]).permutation(self.images)
        numbers = self._order[1][step * self.batch_size : (step + 1) * self.batch_size]
        return numbers, np.random.default_rng([self.seed, epoch, step + 1])

    def loss(self, net: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Return the mean cross entropy."""
        scores = net(inputs)
        loss = F.cross_entropy(scores, targets)
        right = (scores.detach().argmax(1) == targets).sum()
        return loss, {"loss": loss.detach().double() * len(targets), "right": right, "seen": len(targets)}

    def train_figures(self, sums: dict[str, float]) -> dict[str, float]:
        """Return train_loss and train_accuracy."""
        return {
            "train_loss": round(sums["loss"] / sums["seen"], 6),
            "train_accuracy": round(sums["right"] / sums["seen"], 6),
        }


@dataclass(frozen=True)
class Classification(TaskSetup):
    """Images at random places of a canvas, mirrored by chance; cross entropy; accuracy on the test part.

    Args:
        data: from (data folder, cache folder) to the data set.
        size: side of the square canvas that the net sees.
        flip: mirror training images by chance.
        channels: of the images.
        margin: the random place may lie so many pixels over the canvas's edges, where the image is cut.
    """

    data: Callable[[str | Path | None, str | Path | None], Dataset]
    size: int
    flip: bool
    channels: int = 3
    margin: int = 0

    def open(
        self, data: str | Path | None, cache: str | Path | None, batch: int, seed: int, device: torch.device
    ) -> Task:
        """Read the data set; see `TaskSetup`."""
        dataset = self.data(data, cache)
        if device.type == "cuda":
            return _OnDevice(self, dataset, batch, seed, device)
        return _Opened(self, dataset, batch, seed, device)

    def example(self) -> Tensor:
        """Return one black image (1, C, size, size)."""
        return torch.zeros(1, self.channels, self.size, self.size)

    def test_images(
        self, data: str | Path | None, cache: str | Path | None = None, limit: int | None = None
    ) -> tuple[Images, Numbers]:
        """Return test images as the net sees them, uint8 (N, size, size, C), and their labels (N,).

        Args:
            data, cache: see `TaskSetup.open`.
            limit: how many, evenly spaced; all when None.
        """
        test = self.data(data, cache).test
        chosen = spaced(len(test), limit)
        return centred(test.images[chosen], self.size), test.labels[chosen]


class _Opened(Classifying):
    def __init__(self, setup: Classification, dataset: Dataset, batch: int, seed: int, device: torch.device) -> None:
        super().__init__(len(dataset.train), batch, seed, device)
        self.setup, self.dataset = setup, dataset

    def batch(self, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """Return (images (N, C, size, size), labels (N,))."""
        train = self.dataset.train
        chosen, rng = self.chosen(epoch, step)
        size, margin = self.setup.size, self.setup.margin
        images = scattered(train.images[chosen], size + 2 * margin, rng, self.setup.flip)
        images = images[:, margin : margin + size, margin : margin + size]
        return to_tensor(images, self.device), torch.from_numpy(train.labels[chosen]).to(self.device)

    def evaluate(self, net: nn.Module) -> dict[str, Any]:
        """Return test_accuracy."""
        return {"test_accuracy": round(evaluate(net, self.dataset.test, self.setup.size, self.device), 6)}


class _OnDevice(_Opened):
    """All training images lie on the device as bytes; the same images at the same places are gathered there."""

    def __init__(self, setup: Classification, dataset: Dataset, batch: int, seed: int, device: torch.device) -> None:
        super().__init__(setup, dataset, batch, seed, device)
        height, width = dataset.train.images.shape[1:3]
        # Zeros all around: as many as a canvas can show beside an image.
        self.edges = tuple(setup.size + setup.margin - side for side in (height, width))
        images = torch.from_numpy(dataset.train.images).to(device)
        self.bytes = F.pad(images, (0, 0, self.edges[1], self.edges[1], self.edges[0], self.edges[0]))
        self.labels = torch.from_numpy(dataset.train.labels).to(device)
        self.pixels = torch.arange(setup.size, device=device)

    def batch(self, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """Return what `_Opened.batch` does."""
        chosen, rng = self.chosen(epoch, step)
        height, width = self.dataset.train.images.shape[1:3]
        size, margin = self.setup.size, self.setup.margin
        places = random_places(len(chosen), (height, width), size + 2 * margin, rng, self.setup.flip)
        drawn = torch.from_numpy(np.stack([chosen, *places])).to(self.device, non_blocking=True)  # (4, N), one copy
        numbers, tops, lefts, mirrored = drawn.unbind()
        rows = self.pixels - tops[:, None] + (self.edges[0] + margin)  # (N, size), of the padded image
        columns = self.pixels - lefts[:, None] + margin  # of the image
        columns = torch.where(mirrored[:, None] != 0, width - 1 - columns, columns) + self.edges[1]
        images = self.bytes[numbers[:, None, None], rows[:, :, None], columns[:, None, :]]  # (N, size, size, C)
        return images.permute(0, 3, 1, 2).float().div_(255.0), self.labels[numbers]
