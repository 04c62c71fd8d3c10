# SPDX-License-Identifier: Apache-2.0
"""Checkpoints that are whole or absent, and hold all that a run needs to continue bit-identically."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import nn

from bitlens.quant import DoReFaGradient
from bitlens.train.recipe import TrainError

__all__ = ["generators", "load_checkpoint", "restore_generators", "save_checkpoint", "seed_noise", "write_atomically"]


def write_atomically(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Write a file so that a reader sees the old one or the new one, also after kill -9 or a power cut.

    Raises:
        TrainError: the file cannot be written (a full disk, say); nothing half-written stays behind.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except (OSError, RuntimeError) as error:  # torch.save reports a full disk as RuntimeError
        partial.unlink(missing_ok=True)
        raise TrainError(f"{path}: must be writable ({str(error).splitlines()[0]})") from error


def generators(net: nn.Module) -> dict[str, Any]:
    """Return the state of every source of randomness: python, numpy, torch, CUDA, and the net's gradient quantizers."""
    state: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": np.random.get_state(),  # noqa: NPY002 - the user's own code may draw from it
        "torch": torch.get_rng_state(),
        "gradient": {n: m.state() for n, m in net.named_modules() if isinstance(m, DoReFaGradient)},
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def restore_generators(net: nn.Module, state: dict[str, Any]) -> None:
    """Put back what `generators` returned."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
    for name, module in net.named_modules():
        if isinstance(module, DoReFaGradient):
            module.set_state(state["gradient"][name])


def seed_noise(net: nn.Module, seed: int) -> None:
    """Give the gradient quantizers of a fresh net the noise of a seed; seed 0 leaves what the net has chosen."""
    for module in net.modules():
        if isinstance(module, DoReFaGradient):
            module.set_state((module.seed + (seed << 32), 0))


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint atomically."""
    write_atomically(path, lambda stream: torch.save(state, stream))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint written by `save_checkpoint` (it may hold python objects: trust its origin).

    Raises:
        TrainError: the file is missing or damaged.
    """
    if not path.is_file():
        raise TrainError(f"{path}: must be a checkpoint, not missing")
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:
        raise TrainError(f"{path}: must be a whole checkpoint ({type(error).__name__})") from error
    return state
