# SPDX-License-Identifier: Apache-2.0
"""Recurrent layers of ours beside torch's float ones, and a language model's training step.

    python benchmarks/recurrent.py [--threads 1 2] [--batch 20] [--steps 35] [--hidden 300] [--rounds 15] [--json]

Layers are called in turn, forward and backward, and the medians compared: above 1, ours is slower. On one thread the clock is
CPU time of the process, so that other programs disturb it little; on more it is wall time. Brevitas' LSTM is measured
too where it is installed.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bitlens.nn import QuantGRU, QuantLSTM
from bitlens.quant import Spec, UnitActivation
from bitlens.train import find_recipe
from bitlens.train.centred import CentredSteps
from bitlens.train.cross_entropy import cross_entropy

TOKENS, WORDS = 929_589, 10_000  # of Penn Treebank
Call = Callable[[], Any]


def our_layers(hidden: int, weight: str) -> dict[str, nn.Module]:
    """LSTM and GRU, 2-bit weights and states, in both forms."""
    spec = Spec.parse("w2a2", weight=weight)
    state = UnitActivation(2)
    lstm = QuantLSTM(hidden, hidden, state_quantizer=state, weight_quantizer=spec.weight_quantizer())
    matrices = {"weight_quantizer": spec.weight_quantizer(), "candidate_weight_quantizer": spec.weight_quantizer()}
    gru = QuantGRU(hidden, hidden, state_quantizer=state, **matrices)
    return {"lstm paper": lstm, "lstm fixed": lstm.to_fixed(), "gru paper": gru, "gru fixed": gru.to_fixed()}


def peers(hidden: int) -> dict[str, nn.Module]:
    """torch's layers, and Brevitas' where it is installed."""
    layers: dict[str, nn.Module] = {
        "lstm torch float": nn.LSTM(hidden, hidden, batch_first=True),
        "gru torch float": nn.GRU(hidden, hidden, batch_first=True),
    }
    try:
        from brevitas.nn import QuantLSTM as BrevitasLSTM

        layers["lstm brevitas"] = BrevitasLSTM(hidden, hidden, batch_first=True, weight_bit_width=2)
    except ImportError:
        print("brevitas is not installed: its LSTM is left out", file=sys.stderr)
    return layers


def trained(layer: nn.Module, x: Tensor) -> Call:
    """One forward and backward pass."""

    def call() -> None:
        y = layer(x)[0]
        y.sum().backward()

    return call


def trained_model(batch: int, steps: int, bits: str) -> Call:
    """One step of `bitlens train lstm_ptb` on so many streams of so many words."""
    recipe = find_recipe("lstm_ptb")
    net = recipe.fresh(Spec.parse(bits)).train()
    optimizer, centred = recipe.optimizer_of(net), CentredSteps(net)
    words = torch.randint(0, WORDS, (batch, steps + 1))

    def call() -> None:
        optimizer.zero_grad(set_to_none=True)
        logits, _ = net(words[:, :-1])
        cross_entropy(logits.flatten(0, 1), words[:, 1:].flatten()).backward()
        centred.step(optimizer, recipe.clip_norm)

    return call


def measure(calls: dict[str, Call], rounds: int, clock: Callable[[], float]) -> dict[str, dict[str, float]]:
    """Call all in turn; milliseconds of each."""
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            start = clock()
            call()
            if turn:  # the first warms up
                samples[name].append((clock() - start) * 1e3)
    report = {}
    for name, times in samples.items():
        tenths = statistics.quantiles(times, n=10)
        report[name] = {"p10": tenths[0], "median": statistics.median(times), "p90": tenths[-1]}
    return report


def machine() -> dict[str, str]:
    """What was measured on and with."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    load = f"{os.getloadavg()[0]:.1f} of {os.cpu_count()} cores"
    return {
        "cpu": names[0] if names else platform.machine(),
        "python": platform.python_version(),
        "torch": importlib.metadata.version("torch"),
        "load": load,
    }


def main() -> int:
    """Parse, time, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name, value in (("batch", 20), ("steps", 35), ("hidden", 300), ("rounds", 15)):
        parser.add_argument(f"--{name}", type=int, default=value, metavar="N")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], metavar="N")
    parser.add_argument("--weight", default="mean", help="family of our weights, as in a spec string")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the tables")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # Brevitas warns of torch's own named tensors
    torch.manual_seed(0)
    x = torch.floor(torch.rand(arguments.batch, arguments.steps, arguments.hidden) * 4) / 3  # 2-bit codes
    layers = {**peers(arguments.hidden), **our_layers(arguments.hidden, arguments.weight)}
    report: dict[str, Any] = {"machine": machine(), "layers": {}, "models": {}}
    if not arguments.json:
        print(", ".join(f"{key} {value}" for key, value in report["machine"].items()))
    for threads in arguments.threads:
        torch.set_num_threads(threads)
        clock = time.process_time if threads == 1 else time.perf_counter
        times = measure({name: trained(layer, x) for name, layer in layers.items()}, arguments.rounds, clock)
        specs = ("w32", f"w2a2,weight={arguments.weight}")
        models = {spec: trained_model(arguments.batch, arguments.steps, spec) for spec in specs}
        steps = measure(models, arguments.rounds, clock)
        report["layers"][threads], report["models"][threads] = times, steps
        if not arguments.json:
            show(times, steps, threads, arguments.batch * arguments.steps)
    if arguments.json:
        json.dump(report, sys.stdout)
        print()
    return 0


def show(layers: dict[str, dict[str, float]], models: dict[str, dict[str, float]], threads: int, words: int) -> None:
    """Print the two tables of one number of threads."""
    print(f"\n{threads} thread{'s' * (threads > 1)}: milliseconds forward + backward; ratio = median / torch's")
    print(f"{'layer':<18} {'p10':>8} {'median':>8} {'p90':>8} {'ratio':>7}")
    for name, t in layers.items():
        ratio = t["median"] / layers[f"{name.split()[0]} torch float"]["median"]
        print(f"{name:<18} {t['p10']:8.1f} {t['median']:8.1f} {t['p90']:8.1f} {ratio:6.2f}x")
    print(f"{'LSTM-300 model':<26} {'p10':>8} {'median':>8} {'p90':>8} {'words/s':>8} {'s/epoch':>8}")
    for name, t in models.items():
        rate = words / t["median"] * 1e3
        print(f"{name:<26} {t['p10']:8.1f} {t['median']:8.1f} {t['p90']:8.1f} {rate:8.0f} {TOKENS / rate:8.0f}")


if __name__ == "__main__":
    sys.exit(main())
