# SPDX-License-Identifier: Apache-2.0
"""One training run: a recipe, a spec, a folder. It may be killed at any moment and continued, on a CPU bit-identically.

A run's folder holds `config.json`, `metrics.jsonl` (one line an epoch), `checkpoint.pt` and, at the end, `result.json`.
Data order and augmentation of a step follow from (seed, epoch, step) alone. Several processes share a step's batch, each takes
its rows, in parts where gradients are accumulated; see `group`.

On CUDA nothing here but a progress bar waits for the device within an epoch: figures are summed there, and what is not
finite is found at the epoch's end. The epoch is then repeated from its checkpoint, each step looked at, so that the layer
is named all the same.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from bitlens.core.files import write_atomically
from bitlens.quant import Spec
from bitlens.train.centred import CentredSteps
from bitlens.train.checkpoint import (
    foreign_checkpoint,
    generators,
    load_checkpoint,
    restore_generators,
    save_checkpoint,
    seed_noise,
)
from bitlens.train.float_free import FloatFree, Options
from bitlens.train.group import Group
from bitlens.train.guard import check_finite
from bitlens.train.products import products
from bitlens.train.recipe import Recipe
from bitlens.train.replay import Replay
from bitlens.train.schedule import Stage
from bitlens.train.start import start_from
from bitlens.train.task import Task, part

__all__ = ["Trainer"]


class Trainer:
    """The state of a run and its loop.

    Args:
        recipe: what to train.
        stages: how it is quantized, for how long; each starts from the weights of the one before.
        task: opened.
        out: the run's folder, which exists.
        device: of the net.
        every_steps: also write a checkpoint after so many steps of an epoch; 0 for epochs' ends only.
        seed: of the gradients' noise.
        record: on CUDA, replay a step's record; see `replay`.
        evaluate_every: epochs from one evaluation to the next; the last one is always evaluated.
        float_free: how to train on integers alone; None: as usual.
        accumulate: parts of a batch, one after the other, whose gradients make one step.
        group: the processes of this run; alone when None.
        bf16: multiply matrices of the training steps in bfloat16; see `products`.
    """

    net: nn.Module
    optimizer: torch.optim.Optimizer | None  # none without float: masters are updated by `FloatFree`

    def __init__(
        self,
        recipe: Recipe,
        stages: Sequence[Stage],
        task: Task,
        out: Path,
        device: torch.device,
        *,
        every_steps: int = 0,
        seed: int = 0,
        record: bool = False,
        evaluate_every: int = 1,
        float_free: Options | None = None,
        accumulate: int = 1,
        group: Group | None = None,
        bf16: bool = False,
    ) -> None:
        self.recipe, self.stages, self.task, self.out = recipe, stages, task, out
        self.device, self.every_steps, self.seed = device, every_steps, seed
        self.record, self.evaluate_every, self.float_free = record, evaluate_every, float_free
        self.accumulate, self.group, self.bf16 = accumulate, group or Group(), bf16
        self.guarded = self.waits = device.type != "cuda"
        self.epoch, self.step = 0, 0
        self.sums: dict[str, float | Tensor] = {}
        self.seconds = 0.0
        self.metrics: list[dict[str, Any]] = []
        self._enter(0)

    @property
    def epochs(self) -> int:
        """Epochs of all stages."""
        return sum(stage.epochs for stage in self.stages)

    @property
    def spec(self) -> Spec:
        """How the net of the present stage is quantized."""
        return self.stages[self.stage].spec

    def _enter(self, stage: int) -> None:
        """Begin a stage with a fresh net and what trains it."""
        self.stage = stage
        self.begins = sum(earlier.epochs for earlier in self.stages[:stage])
        self.net = self.recipe.fresh(self.spec, self.device)
        seed_noise(self.net, self.seed, self.group.number, stage)
        self.model = self.group.spread(self.net)
        self.free = FloatFree(self.net, self.float_free) if self.float_free else None
        self.optimizer = None if self.free else self.recipe.optimizer_of(self.net, self.record)
        self.centred = CentredSteps(self.net)
        self._forget()

    def _forget(self) -> None:
        """Drop the record of a step: net or optimizer lie elsewhere now."""
        self.replay = Replay(self._learn, self.task, self.recipe.name) if self.record else None

    def start(self, weights: Mapping[str, Tensor], source: str, bits: str) -> None:
        """Take over the weights of another net; see `start_from`.

        Args:
            weights: its state dict.
            source: where it comes from, for the sentence.
            bits: its spec.
        """
        start_from(self.net, weights, source, same_bits=bits == str(self.spec))
        if self.free is not None:
            self.free.read()

    def save(self) -> None:
        """Write the metrics and the checkpoint; the first process does."""
        if self.free is not None:
            self.free.write()
        sums = {key: value.cpu() if isinstance(value, Tensor) else value for key, value in self.sums.items()}
        own = {"generators": generators(self.net), "sums": sums, "task": self.task.state()}
        first, *others = self.group.gathered(own)
        if not self.group.leads:
            return
        lines = "".join(json.dumps(line) + "\n" for line in self.metrics)
        write_atomically(self.out / "metrics.jsonl", lines.encode())
        state = {
            "net": self.net.state_dict(),
            "optimizer": None if self.optimizer is None else self.optimizer.state_dict(),
            "float_free": None if self.free is None else self.free.state_dict(),
            "stage": self.stage,
            "bits": str(self.spec),
            "epoch": self.epoch,
            "step": self.step,
            "seconds": self.seconds,
            "metrics": self.metrics,
            **first,
            "others": others,
        }
        save_checkpoint(self.out / "checkpoint.pt", state)

    def restore(self) -> None:
        """Continue from the folder's checkpoint.

        Raises:
            TrainError: it is damaged or belongs to another net.
        """
        path = self.out / "checkpoint.pt"
        state = self.group.told(lambda: load_checkpoint(path))
        try:
            own = state if self.group.leads else state["others"][self.group.number - 1]
            if state.get("stage", 0) != self.stage:
                self._enter(state["stage"])
            self.net.load_state_dict(state["net"])
            if self.free is not None:
                self.free.load_state_dict(state["float_free"])
            if self.optimizer is not None:
                groups = self.optimizer.state_dict()["param_groups"]  # the recipe's, whatever device the run was on
                self.optimizer.load_state_dict({"state": state["optimizer"]["state"], "param_groups": groups})
            restore_generators(self.net, own["generators"])
            self.epoch, self.step = state["epoch"], state["step"]
            # Of their own types: a whole number that came back as a float would make float32 of whole tensors.
            self.sums = {k: v.to(self.device) if isinstance(v, Tensor) else v for k, v in own["sums"].items()}
            self.seconds, self.metrics = state["seconds"], state["metrics"]
            self.task.restore(own["task"])
            self._forget()
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise foreign_checkpoint(path, error) from error

    def run(self) -> list[dict[str, Any]]:
        """Train to the end and return the metrics, one dict an epoch."""
        if not self.guarded and not self.group.told((self.out / "checkpoint.pt").is_file):
            self.save()  # what a first epoch that is not finite is repeated from
        while True:
            while self.epoch < self.begins + self.stages[self.stage].epochs:
                self._epoch()
            if self.stage + 1 == len(self.stages):
                return self.metrics
            weights, bits = self.net.state_dict(), str(self.spec)
            self._enter(self.stage + 1)
            self.start(weights, f"stage {bits}", bits)

    def _rate(self, step: int) -> float:
        """Return the learning rate of a step of this epoch."""
        steps = self.task.steps
        done = (self.epoch - self.begins) * steps + step
        return self.recipe.rate_at(done / (self.stages[self.stage].epochs * steps))

    def _epoch(self) -> None:
        self.net.train()
        title = f"{self.recipe.name} {self.spec} {self.epoch + 1}/{self.epochs}"
        quiet = not (self.group.leads and sys.stderr.isatty())
        started = time.perf_counter()
        steps = self.task.steps
        with tqdm(total=steps, initial=self.step, desc=title, disable=quiet, leave=False) as bar:
            while self.step < steps:
                loss = self._train_step(*self.task.share(self.epoch, self.step, self.group.number, self.group.count))
                self.step += 1
                if bar.update():  # when it is drawn, some times a second: it waits for the device
                    bar.set_postfix(loss=f"{float(loss):.3f}", refresh=False)
                if self.every_steps and self.step % self.every_steps == 0 and self.step < steps:
                    if not self._sound():
                        return self._repeat()
                    now = time.perf_counter()
                    self.seconds += now - started
                    started = now
                    self.save()
        if not self._sound():
            return self._repeat()
        self.seconds += time.perf_counter() - started
        self.guarded = self.waits
        self._finish_epoch()

    def _train_step(self, inputs: Tensor, targets: Tensor) -> Tensor:
        self._set_rate(self._rate(self.step))
        learn = self._learn if self.replay is None or self.guarded else self.replay
        if self.group.exchange is not None:
            self.group.exchange.step = self.epoch * self.task.steps + self.step
        with products(self.bf16):
            loss, figures = learn(inputs, targets)
        for key, value in (*figures.items(), *self.group.take_sent().items()):
            self.sums[key] = self.sums.get(key, 0) + value
        return loss

    def _set_rate(self, rate: float) -> None:
        if self.free is not None:
            self.free.set_rate(rate)
        for group in self.optimizer.param_groups if self.optimizer is not None else ():
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def _learn(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Mapping[str, float | Tensor]]:
        if self.free is not None:
            return self.free.learn(inputs, targets)
        assert self.optimizer is not None
        self.optimizer.zero_grad(set_to_none=True)
        loss: Tensor | float = 0.0
        figures: dict[str, float | Tensor] = {}
        whole = self._weight(targets)
        for number in range(self.accumulate):
            rows = part((inputs, targets), number, self.accumulate)
            if not len(rows[0]):  # of a batch with fewer samples than parts; the last one has some
                continue
            share = 1.0 if whole is None else self.task.weight(rows[1]) / whole
            with self.group.apart(self.model, alone=number + 1 < self.accumulate):
                partial, found = self.task.loss(self.model, *rows)
                partial = partial * share
                partial.backward()  # type: ignore[no-untyped-call]
            loss = loss + partial.detach()
            for key, value in found.items():
                figures[key] = figures.get(key, 0) + value
        assert isinstance(loss, Tensor)
        if self.guarded:
            where = f"epoch {self.epoch + 1}, step {self.step + 1}"
            check_finite(self.net, loss, lambda: self.net(inputs), where)
        self.centred.step(self.optimizer, self.recipe.clip_norm)
        return loss, figures

    def _weight(self, targets: Tensor) -> float | Tensor | None:
        """Return the weight of a process's whole batch, of several processes the mean; None where it has one part alone."""
        if self.accumulate == self.group.count == 1:
            return None
        return self.group.mean(self.task.weight(targets), self.device)

    def _totals(self) -> dict[str, float]:
        return {key: float(value) for key, value in self.sums.items()}

    def _sound(self) -> bool:
        """Whether all is finite that an unguarded epoch has left: a weight that is not stays so."""
        if self.guarded:
            return True
        weights = torch.stack([p.detach().sum() for p in self.net.parameters()])
        own = bool(weights.isfinite().all()) and all(map(math.isfinite, self._totals().values()))
        return all(self.group.gathered(own))

    def _repeat(self) -> None:
        """Go back to the checkpoint; from there to the epoch's end every step is looked at."""
        self.restore()
        self.guarded = True

    def _finish_epoch(self) -> None:
        rate = self._rate(self.step - 1)  # of the last step
        started = time.perf_counter()
        if self.free is not None:
            self.free.write()
        sums: dict[str, float] = {}
        for own in self.group.gathered(self._totals()):
            for key, value in own.items():
                sums[key] = sums.get(key, 0) + value
        figures: dict[str, Any] = self.task.train_figures(sums)
        if (self.epoch + 1) % self.evaluate_every == 0 or self.epoch + 1 == self.epochs:
            figures |= self.group.told(lambda: self.task.evaluate(self.net))
        seconds = round(self.seconds + time.perf_counter() - started, 1)
        line = {"epoch": self.epoch + 1, **figures, "learning_rate": rate, "seconds": seconds}
        line |= {key: round(value) for key, value in sums.items() if key.startswith("wire_")}
        if len(self.stages) > 1:
            line["bits"] = str(self.spec.middle)
        self.metrics.append(line)
        self.epoch, self.step, self.sums, self.seconds = self.epoch + 1, 0, {}, 0.0
        self.save()
        if not self.group.leads:
            return
        shown = ", ".join(f"{key.replace('_', ' ')} {value:.4f}" for key, value in figures.items() if _is_number(value))
        print(
            f"{self.recipe.name} {self.spec} epoch {line['epoch']}/{self.epochs}: {shown}, {seconds:.0f} s", flush=True
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)
