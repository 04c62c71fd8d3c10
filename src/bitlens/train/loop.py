# SPDX-License-Identifier: Apache-2.0
"""One training run: a recipe, a spec, a folder. It may be killed at any moment and continued bit-identically.

A run's folder holds `config.json`, `metrics.jsonl` (one line an epoch), `checkpoint.pt` and, at the end, `result.json`.
Data order and augmentation of a step follow from (seed, epoch, step) alone.
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from bitlens.data import Dataset, Split, centred, scattered
from bitlens.train.checkpoint import (
    generators,
    load_checkpoint,
    restore_generators,
    save_checkpoint,
    write_atomically,
)
from bitlens.train.guard import check_finite
from bitlens.train.recipe import Recipe, TrainError

__all__ = ["Trainer", "evaluate", "to_tensor"]


def to_tensor(images: np.ndarray[Any, np.dtype[np.uint8]], device: torch.device) -> Tensor:
    """Turn uint8 images (N, H, W, C) into float32 u/255, (N, C, H, W) in channels-last memory."""
    return torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float().div_(255.0)  # (N, C, H, W)


@torch.no_grad()
def evaluate(net: nn.Module, split: Split, size: int, device: torch.device, batch: int = 500) -> float:
    """Return the share of images of a split that the net classifies rightly; images are centred on the canvas."""
    training = net.training
    net.eval()
    right = 0
    for start in range(0, len(split), batch):
        x = to_tensor(centred(split.images[start : start + batch], size), device)
        right += int((net(x).argmax(1).cpu().numpy() == split.labels[start : start + batch]).sum())
    net.train(training)
    return right / len(split)


class Trainer:
    """The state of a run and its loop.

    Args:
        recipe: what to train.
        net: on its device.
        dataset: in memory.
        out: the run's folder, which exists.
        epochs: length of the run.
        seed: of data order and augmentation.
        every_steps: also write a checkpoint after so many steps of an epoch; 0 for epochs' ends only.
    """

    def __init__(
        self, recipe: Recipe, net: nn.Module, dataset: Dataset, out: Path, epochs: int, seed: int, every_steps: int = 0
    ) -> None:
        self.recipe, self.net, self.dataset, self.out = recipe, net, dataset, out
        self.epochs, self.seed, self.every_steps = epochs, seed, every_steps
        self.device = next(net.parameters()).device
        self.optimizer = torch.optim.Adam(net.parameters(), recipe.rate, eps=1e-5)
        self.epoch, self.step = 0, 0
        self.sums = {"loss": 0.0, "right": 0, "seen": 0, "seconds": 0.0}
        self.metrics: list[dict[str, Any]] = []

    @property
    def steps(self) -> int:
        """Steps of an epoch; the last incomplete batch is left out, unless it is the only one."""
        return max(1, len(self.dataset.train) // self.recipe.batch)

    def save(self) -> None:
        """Write the metrics and the checkpoint."""
        lines = "".join(json.dumps(line) + "\n" for line in self.metrics)
        write_atomically(self.out / "metrics.jsonl", lambda stream: _put(stream, lines))
        state = {
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generators": generators(self.net),
            "epoch": self.epoch,
            "step": self.step,
            "sums": self.sums,
            "metrics": self.metrics,
        }
        save_checkpoint(self.out / "checkpoint.pt", state)

    def restore(self) -> None:
        """Continue from the folder's checkpoint.

        Raises:
            TrainError: it is damaged or belongs to another net.
        """
        path = self.out / "checkpoint.pt"
        state = load_checkpoint(path)
        try:
            self.net.load_state_dict(state["net"])
            self.optimizer.load_state_dict(state["optimizer"])
            restore_generators(self.net, state["generators"])
            self.epoch, self.step = state["epoch"], state["step"]
            self.sums, self.metrics = state["sums"], state["metrics"]
        except (KeyError, RuntimeError, ValueError) as error:
            raise TrainError(f"{path}: must be a checkpoint of this net ({str(error).splitlines()[0]})") from error

    def run(self) -> list[dict[str, Any]]:
        """Train to the end and return the metrics, one dict an epoch."""
        while self.epoch < self.epochs:
            self._epoch()
        return self.metrics

    def _rate(self) -> float:
        done = (self.epoch * self.steps + self.step) / (self.epochs * self.steps)
        return self.recipe.rate * 0.5 * (1 + math.cos(math.pi * done))

    def _batch(self, order: np.ndarray[Any, np.dtype[np.int64]]) -> tuple[Tensor, Tensor]:
        chosen = order[self.step * self.recipe.batch : (self.step + 1) * self.recipe.batch]
        rng = np.random.default_rng([self.seed, self.epoch, self.step + 1])
        images = scattered(self.dataset.train.images[chosen], self.recipe.size, rng, self.recipe.flip)
        return to_tensor(images, self.device), torch.from_numpy(self.dataset.train.labels[chosen]).to(self.device)

    def _epoch(self) -> None:
        order = np.random.default_rng([self.seed, self.epoch, 0]).permutation(len(self.dataset.train))
        self.net.train()
        title = f"{self.recipe.name} {self.epoch + 1}/{self.epochs}"
        quiet = not sys.stderr.isatty()
        started = time.perf_counter()
        with tqdm(total=self.steps, initial=self.step, desc=title, disable=quiet, leave=False) as bar:
            while self.step < self.steps:
                loss = self._train_step(*self._batch(order))
                self.step += 1
                bar.update()
                bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
                if self.every_steps and self.step % self.every_steps == 0 and self.step < self.steps:
                    now = time.perf_counter()
                    self.sums["seconds"] += now - started
                    started = now
                    self.save()
        self.sums["seconds"] += time.perf_counter() - started
        self._finish_epoch()

    def _train_step(self, x: Tensor, y: Tensor) -> float:
        rate = self._rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        scores = self.net(x)
        loss = F.cross_entropy(scores, y)
        loss.backward()  # type: ignore[no-untyped-call]
        check_finite(self.net, loss, lambda: self.net(x), f"epoch {self.epoch + 1}, step {self.step + 1}")
        self.optimizer.step()
        value = loss.item()
        self.sums["loss"] += value * len(y)
        self.sums["right"] += int((scores.detach().argmax(1) == y).sum())
        self.sums["seen"] += len(y)
        return value

    def _finish_epoch(self) -> None:
        seen = self.sums["seen"]
        rate = self._rate()
        line = {
            "epoch": self.epoch + 1,
            "train_loss": round(self.sums["loss"] / seen, 6),
            "train_accuracy": round(self.sums["right"] / seen, 6),
            "test_accuracy": round(evaluate(self.net, self.dataset.test, self.recipe.size, self.device), 6),
            "learning_rate": rate,
            "seconds": round(self.sums["seconds"], 1),
        }
        self.metrics.append(line)
        self.epoch, self.step = self.epoch + 1, 0
        self.sums = {"loss": 0.0, "right": 0, "seen": 0, "seconds": 0.0}
        self.save()
        print(
            f"{self.recipe.name} epoch {line['epoch']}/{self.epochs}: loss {line['train_loss']:.4f}, "
            f"train {line['train_accuracy']:.4f}, test {line['test_accuracy']:.4f}, {line['seconds']:.0f} s",
            flush=True,
        )


def _put(stream: Any, text: str) -> None:
    stream.write(text.encode())
