# SPDX-License-Identifier: Apache-2.0
"""A run's folder: `config.json`, `metrics.jsonl`, `checkpoint.pt`, and at the end `weights.npz` and `result.json`.

A published run needs `config.json` and `weights.npz` only.

    >>> net = freeze(load_run("runs/w1a2"))
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bitlens.core.files import write_atomically
from bitlens.core.lock import FolderLock
from bitlens.nn.layer import QuantLayer
from bitlens.quant import Spec
from bitlens.train.catalog import find_recipe
from bitlens.train.checkpoint import foreign_checkpoint, load_checkpoint
from bitlens.train.recipe import TrainError
from bitlens.train.settings import KEYS, REQUIRED, spelled
from bitlens.train.weights import load_weights

__all__ = [
    "Weights",
    "check_writable",
    "continues",
    "hold_folder",
    "load_run",
    "make_folder",
    "read_config",
    "read_weights",
    "write_json",
]


class Weights(NamedTuple):
    """Float weights to start from.

    Args:
        values: a state dict.
        bits: the spec of the net they come from; "" when not known.
    """

    values: dict[str, Tensor]
    bits: str


def read_config(out: str | Path) -> dict[str, Any]:
    """Return a run's configuration.

    Raises:
        TrainError: the folder holds no run, or its configuration is damaged or lacks a key.
    """
    path = Path(out) / "config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise TrainError(f"{out}: must be a run's folder with config.json, not without") from error
    except ValueError as error:
        raise TrainError(f"{path}: must be JSON, not damaged: {error}") from error
    if not isinstance(config, dict):
        raise TrainError(f"{path}: must be a run's configuration, not a {type(config).__name__}")
    for key, meant in KEYS.items():
        if key in config:
            rule = meant.broken_by(config[key])
            if rule:
                raise TrainError(f"{path}: {key} must be {rule}, not {json.dumps(config[key])}")
        elif meant.absent is REQUIRED:
            raise TrainError(f"{path}: {key} must be there, not missing")
    return config


def load_run(out: str | Path) -> nn.Module:
    """Return the trained net of a run, on the CPU, in evaluation mode.

    It comes from `checkpoint.pt`, not frozen; where there is only `weights.npz`, frozen.

    Raises:
        TrainError: the folder holds no run, or its checkpoint or weights are damaged.
    """
    return _load(Path(out))[0]


def _load(out: Path) -> tuple[nn.Module, str]:
    """Return (the net, its spec)."""
    config = read_config(out)
    recipe = find_recipe(config["recipe"])
    path, published = out / "checkpoint.pt", out / "weights.npz"
    if published.is_file() and not path.is_file():
        net = recipe.fresh(Spec.parse(config["bits"]))
        load_weights(net, published)
        return net, config["bits"]
    state = load_checkpoint(path)
    try:
        bits = state.get("bits", config["bits"])  # of the stage in which the run is
        net = recipe.fresh(Spec.parse(bits))
        net.load_state_dict(state["net"])
    except (AttributeError, LookupError, RuntimeError, TypeError) as error:
        raise foreign_checkpoint(path, error) from error
    return net.eval(), bits


def read_weights(source: str | Path) -> Weights:
    """Read what a run may start from.

    Args:
        source: folder of a run that is not published as integers; or a torch file with a state dict of tensors.

    Raises:
        TrainError: it is neither, or a weight is not finite.
    """
    path = Path(source)
    weights = Weights(_state_dict(path), "") if path.is_file() else _of_run(path)
    for name, value in weights.values.items():
        if not value.isfinite().all():
            raise TrainError(f"{source}: {name} must be finite to start from, not nan or inf")
    return weights


def _of_run(path: Path) -> Weights:
    net, bits = _load(path)
    frozen = [name for name, layer in net.named_modules() if isinstance(layer, QuantLayer) and layer.frozen]
    if frozen:
        raise TrainError(f"{path}: weights must be float to start from, not integers as those of {frozen[0]}")
    return Weights(net.state_dict(), bits)


def _state_dict(path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file makes the reader raise anything
        raise TrainError(
            f"{path}: must be a state dict of tensors as torch.save writes it, or a run's folder, "
            "not damaged or foreign"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise TrainError(f"{path}: must be a state dict of tensors, not other objects")
    return state


def continues(folder: Path, config: dict[str, Any], resume: bool) -> bool:
    """Return whether the folder holds a run to continue.

    Raises:
        TrainError: it holds a run that is not to be continued, of another configuration, or published.
    """
    if not (folder / "checkpoint.pt").is_file():
        if (folder / "weights.npz").is_file():
            raise TrainError(f"{folder}: must be empty for a new run, not hold published weights")
        if (folder / "result.json").is_file():
            raise TrainError(f"{folder}: must be empty for a new run, not hold the result of one")
        return False
    if not resume:
        raise TrainError(f"{folder}: must be empty for a new run, not hold one already (continue it with --resume)")
    old = read_config(folder)
    for key, meant in KEYS.items():
        before, now = old.get(key, meant.absent), config.get(key, meant.absent)
        if before != now:
            raise TrainError(f"{folder}: {key} must be {spelled(before)} to continue this run, not {spelled(now)}")
    return True


def check_writable(folder: Path) -> None:
    """Check that a run's folder can be written, or made; nothing is left behind.

    Raises:
        TrainError: it cannot.
    """
    place = folder.absolute()
    while not os.path.lexists(place):
        place = place.parent
    try:
        with TemporaryDirectory(dir=place):
            pass
    except OSError as error:
        raise TrainError(f"{folder}: must be a writable folder ({error.strerror})") from error


def hold_folder(lock: FolderLock) -> None:
    """Take the lock of a run's folder, which one process at a time may train in.

    Raises:
        TrainError: another process has it.
    """
    if not lock.take(wait=False):
        raise TrainError(f"{lock.folder}: must be of one training at a time, not of another that goes on")


def make_folder(folder: Path) -> None:
    """Make the folder of a new run.

    Raises:
        TrainError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainError(f"{folder}: must be a writable folder ({error.strerror})") from error


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file atomically."""
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())
