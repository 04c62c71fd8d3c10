# SPDX-License-Identifier: Apache-2.0
"""Checkpoints that are whole or absent, and hold all that a run needs to continue bit-identically."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bitlens.core.files import write_atomically
from bitlens.quant import DoReFaGradient
from bitlens.train.recipe import TrainError

__all__ = [
    "foreign_checkpoint",
    "generators",
    "load_checkpoint",
    "process_seed",
    "restore_generators",
    "save_checkpoint",
    "seed_noise",
]

# Odd, from one seed and one stage to the next: torch's generator on a CPU takes the low 32 bits of a seed alone.
_STRIDE, _STAGE_STRIDE = 0x9E3779B1, 0x85EBCA77


def generators(net: nn.Module) -> dict[str, Any]:
    """Return the state of every source of randomness: python, numpy, torch, the net's GPU, and its gradient quantizers."""
    state: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": np.random.get_state(),  # noqa: NPY002 - the user's own code may draw from it
        "torch": torch.get_rng_state(),
        "gradient": {n: m.state() for n, m in net.named_modules() if isinstance(m, DoReFaGradient)},
    }
    device = _device(net)
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore_generators(net: nn.Module, state: dict[str, Any]) -> None:
    """Put back what `generators` returned."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    device = _device(net)
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
    for name, module in net.named_modules():
        if isinstance(module, DoReFaGradient):
            module.set_state(state["gradient"][name])


def seed_noise(net: nn.Module, seed: int, process: int = 0, stage: int = 0) -> None:
    """Give the gradient quantizers of a fresh net the noise of a seed, process and stage; of zeros is what the net has chosen."""
    for module in net.modules():
        if isinstance(module, DoReFaGradient):
            module.set_state((module.seed + (process << 16) + stage * _STAGE_STRIDE + seed * _STRIDE, 0))


def process_seed(seed: int, process: int) -> int:
    """Return the seed of torch's generator in a process of a run: the run's own in the first one."""
    return (seed + process * _STRIDE) % (1 << 32)


def _device(net: nn.Module) -> torch.device:
    return next((parameter.device for parameter in net.parameters()), torch.device("cpu"))


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint atomically.

    Raises:
        OSError: the file cannot be written.
    """
    buffer = io.BytesIO()  # into a file, torch.save would tell of a full disk by a RuntimeError
    torch.save(state, buffer)
    write_atomically(path, buffer.getbuffer())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint written by `save_checkpoint` (it may hold python objects: trust its origin).

    Raises:
        TrainError: the file is missing, damaged or of something else.
    """
    if not path.is_file():
        raise TrainError(f"{path}: must be a checkpoint, not missing")
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:
        raise TrainError(f"{path}: must be a whole checkpoint, not damaged or foreign") from error
    if not isinstance(state, dict):
        raise TrainError(f"{path}: must be a checkpoint of a run, not a {type(state).__name__}")
    return state


def foreign_checkpoint(path: Path, error: Exception) -> TrainError:
    """Return what to raise where a checkpoint does not fit its net."""
    return TrainError(f"{path}: must be a checkpoint of this net ({str(error).partition(chr(10))[0]})")
