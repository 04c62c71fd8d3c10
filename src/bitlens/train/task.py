# SPDX-License-Identifier: Apache-2.0
"""A task: what is learned from which data, so that the loop knows neither images nor words.

A recipe holds a `TaskSetup` (pure description); `open` reads the data and gives the `Task` of one run.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Task", "TaskSetup", "part", "rows_of"]


def rows_of(count: int, number: int, parts: int) -> slice:
    """Return the place of one of so many parts of a batch's samples, as equal as can be."""
    return slice(count * number // parts, count * (number + 1) // parts)


def part(batch: tuple[Tensor, Tensor], number: int, parts: int) -> tuple[Tensor, Tensor]:
    """Return the samples of one of so many parts of (inputs, targets)."""
    rows = rows_of(len(batch[0]), number, parts)
    return batch[0][rows], batch[1][rows]


class Task(ABC):
    """Batches, loss and figures of one run.

    Attributes:
        metric: key of the main figure that `evaluate` returns.
        carried: what a step's loss leaves to the next one's; None before there is anything, () of most tasks.
    """

    metric: str
    carried: tuple[Tensor, ...] | None = ()

    @property
    @abstractmethod
    def steps(self) -> int:
        """Steps of an epoch."""

    @property
    @abstractmethod
    def fewest(self) -> int:
        """Samples of the smallest step: no more processes can share it."""

    @abstractmethod
    def batch(self, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """Return (inputs, targets) of a step on the device; they follow from (seed, epoch, step) alone."""

    def share(self, epoch: int, step: int, number: int, count: int) -> tuple[Tensor, Tensor]:
        """Return the samples of a step's batch that process `number` of `count` learns from."""
        return part(self.batch(epoch, step), number, count)

    @abstractmethod
    def loss(self, net: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Mapping[str, float | Tensor]]:
        """Return the loss (0-d) of a batch and figures to be summed over an epoch.

        Figures that are 0-d tensors stay on the device until the epoch's end, so that no step waits for it.
        """

    def weight(self, targets: Tensor) -> float | Tensor:
        """Return what a part of a batch with these targets counts in the mean over the batch that `loss` is."""
        return float(len(targets))

    @abstractmethod
    def train_figures(self, sums: dict[str, float]) -> dict[str, float]:
        """Return an epoch's training figures from the sums of all its steps; `train_loss` among them."""

    @abstractmethod
    def evaluate(self, net: nn.Module) -> dict[str, Any]:
        """Return the figures on data that is not trained on; `metric` among them. The net's mode is kept."""

    def state(self) -> dict[str, Any]:
        """Return what must live on in a checkpoint."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:  # noqa: B027 - most tasks carry nothing
        """Put back what `state` returned."""


class TaskSetup(ABC):
    """The description of a task."""

    @abstractmethod
    def open(
        self, data: str | Path | None, cache: str | Path | None, batch: int, seed: int, device: torch.device
    ) -> Task:
        """Read the data.

        Args:
            data: folder of the data set.
            cache: folder for decoded images; the user's cache folder when None.
            batch: samples a step.
            seed: of order and augmentation.
            device: where batches go.

        Raises:
            bitlens.data.DataError: the data is missing or damaged.
        """

    @abstractmethod
    def example(self) -> Tensor:
        """Return an input of one sample, zeros, as the net takes it."""
