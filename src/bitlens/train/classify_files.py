# SPDX-License-Identifier: Apache-2.0
"""Classification of images that lie in files: decoded by threads while the net works on the batch before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bitlens.data import FileDataset, central_box, cut, random_box, read_picture
from bitlens.data.dataset import spaced
from bitlens.train.classify import Classifying, Images, Numbers, accuracies, to_tensor
from bitlens.train.task import Task, TaskSetup, rows_of

__all__ = ["FileClassification"]

_AHEAD = 2  # batches in the making while the net works on one: this bounds the memory
_Job = Callable[[], Images]


@dataclass(frozen=True)
class FileClassification(TaskSetup):
    """Random boxes of pictures scaled to a square, mirrored by chance; cross entropy; accuracy on the middles.

    Args:
        data: from a data folder to the files.
        size: side of the square that the net sees.
    """

    data: Callable[[str | Path | None], FileDataset]
    size: int

    def open(
        self, data: str | Path | None, cache: str | Path | None, batch: int, seed: int, device: torch.device
    ) -> Task:
        """List the files; see `TaskSetup`. As many threads decode as torch has; decoded pictures are not kept."""
        return _Opened(self.size, self.data(data), batch, seed, device)

    def example(self) -> Tensor:
        """Return one black image (1, 3, size, size)."""
        return torch.zeros(1, 3, self.size, self.size)

    def test_images(
        self, data: str | Path | None, cache: str | Path | None = None, limit: int | None = None
    ) -> tuple[Images, Numbers]:
        """Return test images as the net sees them; see `Classification.test_images`."""
        test = self.data(data).test
        chosen = spaced(len(test.files), limit)
        files = [test.files[number] for number in chosen]
        images = np.empty((len(files), self.size, self.size, 3), np.uint8)
        with ThreadPoolExecutor(torch.get_num_threads()) as threads:
            for i, image in enumerate(threads.map(partial(_middle, size=self.size), files)):
                images[i] = image
        return images, test.labels[chosen]


class _Opened(Classifying):
    def __init__(self, size: int, dataset: FileDataset, batch: int, seed: int, device: torch.device) -> None:
        super().__init__(len(dataset.train), batch, seed, device)
        self.size, self.dataset = size, dataset
        self._threads = ThreadPoolExecutor(torch.get_num_threads(), "decode")
        self._next: tuple[int, int] | None = None
        self._decoded: Iterator[Images] = iter(())

    def batch(self, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """Return (images (N, 3, size, size), labels (N,)); the next steps' batches are in the making."""
        return self.share(epoch, step, 0, 1)

    def share(self, epoch: int, step: int, number: int, count: int) -> tuple[Tensor, Tensor]:
        """Return a process's samples of `batch`; no other pictures are decoded."""
        if self._next != (epoch, step):
            jobs = (self._random(epoch, i, number, count) for i in range(step, self.steps))
            self._decoded = _ahead(self._threads, jobs)
        self._next = epoch, step + 1
        chosen = self.chosen(epoch, step)[0]
        return self._tensors(
            next(self._decoded), self.dataset.train.labels[chosen[rows_of(len(chosen), number, count)]]
        )

    def evaluate(self, net: nn.Module) -> dict[str, Any]:
        """Return test_accuracy, and test_top5_accuracy: how often the class is among the five best guesses."""
        test = self.dataset.test
        parts = [slice(start, start + self.batch_size) for start in range(0, len(test), self.batch_size)]
        decoded = _ahead(
            self._threads, ([partial(_middle, file, self.size) for file in test.files[part]] for part in parts)
        )
        batches = (self._tensors(images, test.labels[part]) for images, part in zip(decoded, parts, strict=True))
        first, fifth = accuracies(net, batches, [1, 5])
        return {"test_accuracy": round(first, 6), "test_top5_accuracy": round(fifth, 6)}

    def _random(self, epoch: int, step: int, number: int, count: int) -> list[_Job]:
        """A process's images of a step, each with randomness of its own, whichever thread comes to it first."""
        chosen, rng = self.chosen(epoch, step)
        sources = zip(chosen, rng.spawn(len(chosen)), strict=True)
        jobs: list[_Job] = [
            partial(_random_part, self.dataset.train.files[image], self.size, own) for image, own in sources
        ]
        return jobs[rows_of(len(jobs), number, count)]

    def _tensors(self, images: Images, labels: Numbers) -> tuple[Tensor, Tensor]:
        return to_tensor(images, self.device), torch.from_numpy(labels).to(self.device)


def _random_part(file: str, size: int, rng: np.random.Generator) -> Images:
    picture = read_picture(file)
    image = cut(picture, random_box(*picture.size, rng), size)
    return image[:, ::-1] if rng.random() < 0.5 else image


def _middle(file: str, size: int) -> Images:
    picture = read_picture(file)
    return cut(picture, central_box(*picture.size, size), size)


def _ahead(threads: ThreadPoolExecutor, batches: Iterable[list[_Job]]) -> Iterator[Images]:
    """Yield the images of every batch (N, size, size, 3), in order."""
    waiting: deque[list[Future[Images]]] = deque()
    try:
        for jobs in batches:
            waiting.append([threads.submit(job) for job in jobs])
            if len(waiting) > _AHEAD:
                yield _stacked(waiting.popleft())
        while waiting:
            yield _stacked(waiting.popleft())
    finally:
        for future in (future for batch in waiting for future in batch):
            future.cancel()


def _stacked(decoded: list[Future[Images]]) -> Images:
    images = [future.result() for future in decoded]
    return np.stack(images) if images else np.empty((0, 1, 1, 3), np.uint8)  # of a process without a sample
