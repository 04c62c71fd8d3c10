# SPDX-License-Identifier: Apache-2.0
"""Arrays out of trained runs for the pictures of `bitlens plot`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bitlens.nn.layer import QuantLayer
from bitlens.plots.canvas import PlotError
from bitlens.quant import BalancedWeight, UniformMaxWeight, balanced_groups
from bitlens.quant.spec import FLOAT
from bitlens.train import TrainError, load_run

__all__ = ["filters_of", "histograms_of", "metrics_of", "sweeps_of"]


def filters_of(run: str | Path, layer: str | None) -> tuple[str, npt.NDArray[np.int32]]:
    """Return a quantized convolution's name and its integers (O, I, KH, KW).

    Args:
        run: folder of a trained run.
        layer: name; None takes the first convolution of the fewest bits.
    """
    name, chosen = _pick(run, layer, lambda module: _bits(module) < FLOAT and _is_filter(module))
    chosen.freeze()  # published integers stay as they are
    assert chosen.weight_integers is not None
    return name, chosen.weight_integers.numpy()


def histograms_of(run: str | Path, layer: str | None, bits: int | None) -> tuple[str, dict[str, npt.NDArray[Any]]]:
    """Return a layer's name and its weights in four forms: float, equalized, balanced codes, uniform codes.

    Args:
        run: folder of a trained run.
        layer: name; None takes the first of the fewest bits.
        bits: of the codes; None takes the layer's.

    Raises:
        PlotError: bits are missing for a float layer, or the run is published as integers.
    """
    name, chosen = _pick(run, layer, lambda module: True)
    k = _bits(chosen) if bits is None else bits
    if chosen.frozen:
        raise PlotError(f"{run}: weights must be float for this picture, not published integers")
    if k == FLOAT:
        raise PlotError(f"{name}: bits must be given for a float layer (--bits 2)")
    w = chosen.weight.detach()
    balanced, uniform = BalancedWeight(k).codes(w)[0], UniformMaxWeight(k).codes(w)[0]
    return name, {
        "float": w.numpy(),
        "equalized": _equalized(w, k).numpy(),
        f"balanced, {k} bits": balanced.numpy(),
        f"without equalization, {k} bits": uniform.numpy(),
    }


def _equalized(w: torch.Tensor, bits: int) -> torch.Tensor:
    """Weights spread evenly over [0, 1]: group g is mapped onto [g, g + 1]/2^k (Balanced Quantization, algorithm 2)."""
    group = balanced_groups(w, bits)
    spread = torch.zeros_like(w)
    for g in range(1 << bits):
        chosen = group == g
        if not chosen.any():
            continue
        low, high = w[chosen].min(), w[chosen].max()
        spread[chosen] = (w[chosen] - low) / (high - low).clamp(min=1e-12)
    return (group + spread) / (1 << bits)


def metrics_of(runs: list[str]) -> dict[str, list[dict[str, Any]]]:
    """Return every run's metrics, one dict an epoch, by the name of its folder; by its path where two have one name.

    Raises:
        TrainError: a folder holds no metrics, or none of an epoch yet.
    """
    found = {}
    for name, run in _named(runs, [Path(run).name for run in runs]):
        path = Path(run) / "metrics.jsonl"
        try:
            lines = [json.loads(line) for line in path.read_text().splitlines()]
        except (FileNotFoundError, NotADirectoryError) as error:
            raise TrainError(f"{run}: must be a run's folder with metrics.jsonl, not without") from error
        except ValueError as error:
            raise TrainError(f"{path}: must be lines of JSON, not damaged: {error}") from error
        if not lines or not all(isinstance(line, dict) for line in lines):
            raise TrainError(f"{path}: must hold one JSON object an epoch, not {'others' if lines else 'nothing'}")
        found[name] = lines
    return found


def sweeps_of(files: list[str]) -> dict[str, dict[str, Any]]:
    """Return what `bitlens sweep` has written, by the names of the files; by their paths where two have one name.

    Raises:
        PlotError: a file is no sweep.
        OSError: it cannot be read.
    """
    found = {}
    for name, file in _named(files, [Path(file).stem for file in files]):
        try:
            sweep = json.loads(Path(file).read_text())
        except ValueError as error:
            raise PlotError(f"{file}: must be a file of bitlens sweep, not damaged: {error}") from error
        whole = isinstance(sweep, dict) and {"cost", "path", "uniform", "chosen"} <= sweep.keys()
        if not whole or not isinstance(sweep["chosen"], dict):
            raise PlotError(f"{file}: must be a file of bitlens sweep, not of something else")
        found[name] = sweep
    return found


def _named(paths: list[str], short: list[str]) -> list[tuple[str, str]]:
    """Return (name, path) of every path: the short name where no other path has it."""
    return [(name if short.count(name) == 1 else path, path) for name, path in zip(short, paths, strict=True)]


def _pick(run: str | Path, layer: str | None, fits: Callable[[QuantLayer], bool]) -> tuple[str, QuantLayer]:
    layers = {name: module for name, module in load_run(run).named_modules() if isinstance(module, QuantLayer)}
    found = {name: module for name, module in layers.items() if fits(module)}
    if not found:
        raise PlotError(f"{run}: net must have a layer for this picture, not none")
    if layer is None:
        return min(found.items(), key=lambda item: _bits(item[1]))
    if layer not in found:
        raise PlotError(f"{run}: layer must be one of {', '.join(found)}, not {layer}")
    return layer, found[layer]


def _bits(module: QuantLayer) -> int:
    return FLOAT if module.weight_quantizer is None else module.weight_quantizer.bits


def _is_filter(module: QuantLayer) -> bool:
    return module.weight.dim() == 4 and module.weight.shape[2] * module.weight.shape[3] > 1
