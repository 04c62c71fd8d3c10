# SPDX-License-Identifier: Apache-2.0
"""A model of the zoo, and how its random weights are made worth testing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

__all__ = ["Model", "prepare"]


@dataclass(frozen=True)
class Model:
    """One net.

    Args:
        name: of its files.
        what: a few words for the table.
        build: makes it.
        shape: of one input, without the batch.
        sample: "unit" (bytes / 255), "bytes" (0 to 255) or "normal" inputs.
        large: export it in two forms only, and calibrate it on few images.
        bytes_in: tell qonnx that the input holds bytes, as FINN's users do for nets without an input quantizer.
    """

    name: str
    what: str
    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    sample: str = "unit"
    large: bool = False
    bytes_in: bool = False

    def draw(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Random inputs (count, *shape)."""
        if self.sample == "normal":
            return torch.randn((count, *self.shape), generator=generator)
        pixels = torch.randint(0, 256, (count, *self.shape), generator=generator).float()
        return pixels if self.sample == "bytes" else pixels / 255


def prepare(model: Model) -> nn.Module:
    """Build the net with random weights, batch norm slopes of both signs, and statistics of some forward passes."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    net = model.build()
    for layer in net.modules():
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.normal_(layer.weight, 0.8, 0.5)
            nn.init.normal_(layer.bias, 0.1, 0.3)
    net.train()
    with torch.no_grad():
        for _ in range(2 if model.large else 8):
            net(model.draw(4 if model.large else 16, generator))
    return net.eval()
