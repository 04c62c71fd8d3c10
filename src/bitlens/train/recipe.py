# SPDX-License-Identifier: Apache-2.0
"""A recipe: which data, which net, how long and how fast."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from bitlens.data import Dataset
from bitlens.quant import Spec

__all__ = ["Recipe", "TrainError"]


class TrainError(ValueError):
    """A run that cannot start, continue or be read; the sentence names the file or the layer."""


@dataclass(frozen=True)
class Recipe:
    """How a net is trained.

    Args:
        name: as typed in `bitlens train NAME`.
        data: from (data folder, cache folder) to the data set.
        net: from a spec to a fresh net.
        bits: default spec string.
        size: side of the square input; images are placed on a canvas of this size.
        flip: mirror training images by chance.
        epochs, batch: default length of the run, and images a step.
        rate: Adam's learning rate at the start; a half cosine takes it to 0.
    """

    name: str
    data: Callable[[str | Path | None, str | Path | None], Dataset]
    net: Callable[[Spec], nn.Module]
    bits: str
    size: int
    flip: bool
    epochs: int
    batch: int = 128
    rate: float = 1e-3
