# SPDX-License-Identifier: Apache-2.0
"""A recipe: which task, which net, how long and how fast."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from bitlens.quant import Spec
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
        rate: the learning rate at the start; a half cosine takes it to 0.
        optimizer: "adam" (eps 1e-5), or "sgd" (Nesterov, momentum 0.9).
        weight_decay: of matrices and filters only, not of batch norm, biases and learned scales.
        clip_norm: largest norm of all gradients together; 0 leaves them as they are.
    """

    name: str
    task: TaskSetup
    net: Callable[[Spec], nn.Module]
    bits: str
    epochs: int
    batch: int = 128
    rate: float = 1e-3
    optimizer: str = "adam"
    weight_decay: float = 0.0
    clip_norm: float = 0.0
