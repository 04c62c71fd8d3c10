# SPDX-License-Identifier: Apache-2.0
"""Tasks whose batches are made, not read: scenes composed, crops made worse, always from (seed, epoch, step) alone.

A `Maker` makes them on the host, without torch; the task puts them on its device. So worker processes can make the batches
of coming steps, each with a maker of its own (`workers.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bitlens.train.task import Task, TaskSetup
from bitlens.train.workers import Workers

__all__ = ["Made", "MadeSetup", "MadeTask", "Maker", "luma_tensor"]


class Made(NamedTuple):
    """A batch on the host.

    Args:
        luma: uint8 (N, H, W).
        targets: float32 (N, ...).
    """

    luma: npt.NDArray[np.uint8]
    targets: npt.NDArray[np.float32]


class Maker(ABC):
    """Makes the batches of one run."""

    @property
    @abstractmethod
    def steps(self) -> int:
        """Steps of an epoch."""

    @property
    @abstractmethod
    def fewest(self) -> int:
        """Samples of the smallest step."""

    @abstractmethod
    def make(self, epoch: int, step: int) -> Made:
        """Return the batch of a step; it follows from (seed, epoch, step) alone."""


class MadeTask(Task):
    """A task that a maker feeds.

    Attributes:
        maker: of its batches.
        device: where they go.
        workers: processes that make them; None to make each when it is asked for.
    """

    def __init__(self, maker: Maker, device: torch.device) -> None:
        self.maker, self.device = maker, device
        self.workers: Workers[Made] | None = None

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return self.maker.steps

    @property
    def fewest(self) -> int:
        """Samples of the smallest step."""
        return self.maker.fewest

    def batch(self, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """Return (luma (N, 1, H, W), targets (N, ...)), float32 on the device."""
        made = (self.workers or self.maker).make(epoch, step)
        return luma_tensor(made.luma, self.device), torch.from_numpy(made.targets).to(self.device)


class MadeSetup(TaskSetup):
    """The description of such a task; it can be sent to other processes."""

    @abstractmethod
    def maker(self, data: str | Path | None, batch: int, seed: int) -> Maker:
        """Read what is trained on.

        Args:
            data: folder of the data set.
            batch: samples a step.
            seed: of all that is drawn.

        Raises:
            bitlens.data.DataError: the data is missing or damaged.
        """


def luma_tensor(luma: npt.NDArray[np.uint8], device: torch.device) -> Tensor:
    """Return pictures, uint8 (N, H, W), as (N, 1, H, W), float32 in [0, 1]."""
    writable = luma if luma.flags.writeable else luma.copy()  # torch wants it so
    return torch.from_numpy(writable).to(device)[:, None].float() / 255
