# SPDX-License-Identifier: Apache-2.0
"""A recipe: which task, which net, how long and how fast."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from bitlens.nn.layer import QuantLayer
from bitlens.quant import QuantError, Spec
from bitlens.train.task import TaskSetup

__all__ = ["Recipe", "TrainError"]


class TrainError(ValueError):
    """A run that cannot start, continue or be read; the sentence names the file or the layer."""


@dataclass(frozen=True)
class Recipe:
    """How a net is trained.

    Args:
        name: as typed in `bitlens train NAME`.
        task: what is learned from which data.
        net: from a spec to a fresh net.
        bits: default spec string.
        epochs, batch: default length of the run, and samples a step.
        rate: the largest learning rate; a half cosine takes it to 0.
        drops: shares of a stage, 0 to 1, after which the rate falls to a tenth, in the cosine's place.
        warmup: the share of a stage, 0 to 1, over which the rate rises evenly from 0 to where the above has it; the first
            step, at 0, moves no weight.
        optimizer: "adam" (eps 1e-5), or "sgd" (Nesterov).
        momentum: of "sgd".
        weight_decay: of matrices and filters only, not of batch norm, biases and learned scales.
        clip_norm: largest norm of all gradients together; 0 leaves them as they are.
        data_set: its name, which is that of its folder in a folder of all data sets; "" where none is read.
        licence: what the data allows its weights to be used for, where it limits that; `bitlens inspect` shows it.
        check: raises QuantError, naming the first argument, for a spec that the net cannot have.
    """

    name: str
    task: TaskSetup
    net: Callable[[Spec], nn.Module]
    bits: str
    epochs: int
    batch: int = 128
    rate: float = 1e-3
    drops: tuple[float, ...] = ()
    warmup: float = 0.0
    optimizer: Literal["adam", "sgd"] = "adam"
    momentum: float = 0.9
    weight_decay: float = 0.0
    clip_norm: float = 0.0
    data_set: str = ""
    licence: str = ""
    check: Callable[[str, Spec], None] = lambda name, spec: None

    def fresh(self, spec: Spec, device: torch.device | str = "cpu") -> nn.Module:
        """Return a fresh net, its filters channels last, which torch's CPU convolutions like best.

        Raises:
            QuantError: the spec's `layers` are not as many as the net's.
        """
        net = self.net(spec).to(device)
        count = sum(isinstance(layer, QuantLayer) and layer.number is not None for layer in net.modules())
        if spec.layers and len(spec.layers) != count:
            raise QuantError(
                f"layers: bits must be as many as the middle layers of {self.name}, {count}, not {len(spec.layers)}"
            )
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return net

    def rate_at(self, done: float) -> float:
        """Return the learning rate when this share of a stage, 0 to 1, is done."""
        warm = min(1.0, done / self.warmup) if self.warmup else 1.0
        if not self.drops:
            return self.rate * warm * 0.5 * (1 + math.cos(math.pi * done))
        return self.rate * warm * 0.1 ** sum(done >= share for share in self.drops)

    def optimizer_of(self, net: nn.Module, recorded: bool = False) -> torch.optim.Optimizer:
        """Return a fresh optimizer of a net's parameters.

        Args:
            net: on its device.
            recorded: its steps will be part of a CUDA graph: the learning rate is a tensor, to be changed in place.
        """
        matrices = [p for p in net.parameters() if p.dim() > 1]
        others = [p for p in net.parameters() if p.dim() <= 1]
        groups = [{"params": matrices, "weight_decay": self.weight_decay}, {"params": others, "weight_decay": 0.0}]
        rate = torch.tensor(self.rate, device=matrices[0].device) if recorded else self.rate
        fused = True  # one walk over the weights; also the one form that reads the rate on the device
        if self.optimizer == "sgd":
            return torch.optim.SGD(groups, rate, momentum=self.momentum, nesterov=True, fused=fused)
        chosen = groups if self.weight_decay else net.parameters()
        return torch.optim.Adam(chosen, rate, eps=1e-5, fused=fused, capturable=recorded)
