# SPDX-License-Identifier: Apache-2.0
"""Single layers of ours beside ONNX Runtime int8 and float32, in one interleaved run on one thread.

    scripts/bench [--quick] [--json] [--isa avx2] [--only 256->256]

Every figure is CPU time of the process, so that other programs on the machine disturb it little, and of the calls the 10th
percentile; the median and the 90th percentile show the spread. A layer's time is the difference of a long and a short net
(`layers.py`). The ratio is ONNX Runtime's time over ours: above 1, ours is faster.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from bitlens import Session
from bitlens.core.grid import Grid
from layers import Layer, Precision, float_net, int8_net, our_net

LONG, SHORT = 5, 1

LOW_BITS = [
    Precision("w1a1", Grid.odd(1), Grid.unsigned(1)),
    Precision("w1a2", Grid.odd(1), Grid.unsigned(2)),
    Precision("t1a2", Grid.ternary(), Grid.unsigned(2)),
    Precision("w2a2", Grid.odd(2), Grid.unsigned(2)),
    Precision("w1a4", Grid.odd(1), Grid.unsigned(4)),
    Precision("w4a4", Grid.odd(4), Grid.unsigned(4)),
    Precision("w8a8", Grid.narrow(8), Grid.unsigned(8)),
]
FIRST = [Precision("w8a8", Grid.narrow(8), Grid.unsigned(8))]
DEPTHWISE = [LOW_BITS[1], LOW_BITS[-1]]

CASES: list[tuple[Layer, list[Precision]]] = [
    (Layer(14, 256, 256), LOW_BITS),
    (Layer(7, 512, 512), LOW_BITS),
    (Layer(28, 128, 128), LOW_BITS),
    (Layer(56, 64, 64), LOW_BITS),
    (Layer(28, 48, 48), LOW_BITS),
    (Layer(56, 32, 32), LOW_BITS),
    (Layer(56, 24, 24), LOW_BITS),
    (Layer(56, 16, 16), LOW_BITS),
    (Layer(14, 256, 256, kernel=1), LOW_BITS),
    (Layer(56, 64, 64, kernel=1), LOW_BITS),
    (Layer(28, 128, 128, stride=2), LOW_BITS),
    (Layer(56, 64, 128, stride=2), LOW_BITS),
    (Layer(32, 3, 32), FIRST),
    (Layer(224, 3, 32, stride=2), FIRST),
    (Layer(56, 64, 64, depthwise=True), DEPTHWISE),
    (Layer(14, 256, 256, depthwise=True), DEPTHWISE),
    (Layer(28, 128, 128, stride=2, depthwise=True), DEPTHWISE),
]
QUICK = [(Layer(14, 256, 256), LOW_BITS[:2]), (Layer(56, 16, 16), LOW_BITS[:2])]


def peer(model: bytes) -> Callable[[], Any]:
    """A call of an ONNX Runtime session on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    port = session.get_inputs()[0]
    dtype = np.uint8 if "uint8" in port.type else np.float32
    x = np.random.default_rng(1).integers(0, 255, port.shape).astype(dtype)
    return lambda: session.run(None, {port.name: x})


def ours(layer: Layer, precision: Precision, count: int, isa: str | None) -> tuple[Callable[[], Any], str]:
    """A call of our session on one thread, and the kernel it runs."""
    session = Session(our_net(layer, precision, count), threads=1, isa=isa)
    x = np.random.default_rng(1).integers(0, precision.activations.hi + 1, (1, layer.size, layer.size, layer.inputs))
    image = x.astype(np.uint8)
    return lambda: session.run(image), session.layers[0].kernel


def measure(
    nets: dict[str, tuple[Callable[[], Any], Callable[[], Any]]], seconds: float
) -> dict[str, dict[str, float]]:
    """Time long and short nets round-robin; microseconds of one layer by name.

    A round calls each net often enough for about 2 ms, so that short nets are not drowned by the clock.
    """
    calls = {(name, i): call for name, pair in nets.items() for i, call in enumerate(pair)}
    repeats, samples = {}, {key: [] for key in calls}
    for key, call in calls.items():
        call()
        start = time.process_time()
        call()
        repeats[key] = max(1, int(2e-3 / max(1e-6, time.process_time() - start)))
    begin = time.perf_counter()
    rounds = 0
    while rounds < 15 or (time.perf_counter() - begin < seconds and rounds < 400):
        rounds += 1
        for key, call in calls.items():
            start = time.process_time()
            for _ in range(repeats[key]):
                call()
            samples[key].append((time.process_time() - start) / repeats[key] * 1e6)
    report = {}
    for name in nets:
        long, short = (np.array(samples[name, i]) for i in (0, 1))
        base = np.percentile(short, 10)
        p10, p50, p90 = ((np.percentile(long, q) - base) / (LONG - SHORT) for q in (10, 50, 90))
        report[name] = {"p10": float(p10), "median": float(p50), "p90": float(p90)}
    return report


def bench(layer: Layer, precisions: list[Precision], seconds: float, isa: str | None) -> list[dict[str, Any]]:
    """Time all precisions of one layer beside both peers."""
    nets = {"int8": (peer(int8_net(layer, LONG)), peer(int8_net(layer, SHORT)))}
    nets["float32"] = (peer(float_net(layer, LONG)), peer(float_net(layer, SHORT)))
    kernels = {}
    for precision in precisions:
        long, kernels[precision.name] = ours(layer, precision, LONG, isa)
        nets[precision.name] = (long, ours(layer, precision, SHORT, isa)[0])
    times = measure(nets, seconds * len(nets))
    rows = []
    for precision in precisions:
        mine = times[precision.name]
        rows.append(
            {
                "layer": str(layer),
                "precision": precision.name,
                "kernel": kernels[precision.name],
                "microseconds": mine,
                "gmacs": layer.macs / mine["p10"] * 1e-3,
                "int8": times["int8"],
                "float32": times["float32"],
                "ratio_int8": times["int8"]["p10"] / mine["p10"],
                "ratio_float32": times["float32"]["p10"] / mine["p10"],
            }
        )
    return rows


def machine() -> dict[str, str]:
    """What was measured on and with."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        cpu = names[0] if names else cpu
    versions = {name: importlib.metadata.version(name) for name in ("onnxruntime", "numpy")}
    return {"cpu": cpu, "python": platform.python_version(), **versions, "clock": "process CPU time, 1 thread, p10"}


def render(row: dict[str, Any]) -> str:
    """One line of the table."""
    mine, int8 = row["microseconds"], row["int8"]
    return (
        f"{row['layer']:<34} {row['precision']:<5} {mine['p10']:8.1f} {mine['median']:8.1f} {mine['p90']:8.1f}"
        f" {row['gmacs']:7.0f} {int8['p10']:8.1f} {int8['median']:8.1f} {row['float32']['p10']:8.1f}"
        f" {row['ratio_int8']:6.2f}x {row['ratio_float32']:6.2f}x  {row['kernel']}"
    )


def main() -> int:
    """Parse, time, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two layers only, about ten seconds")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    parser.add_argument(
        "--isa", choices=["portable", "avx2", "avx512", "neon"], help="force an instruction set of ours"
    )
    parser.add_argument("--only", metavar="TEXT", help="layers whose name contains this, such as 256->256")
    parser.add_argument("--seconds", metavar="S", type=float, default=0.6, help="time spent on each figure")
    arguments = parser.parse_args()
    cases = QUICK if arguments.quick else CASES
    if arguments.only:
        cases = [case for case in cases if arguments.only in str(case[0])]
    about = machine()
    if not arguments.json:
        print(", ".join(f"{key} {value}" for key, value in about.items()))
        print(
            "microseconds a layer (p10, median, p90 ours; p10, median ORT int8; p10 ORT float32); ratio = theirs / ours"
        )
        print(
            f"{'layer':<34} {'ours':<5} {'p10':>8} {'median':>8} {'p90':>8} {'GMAC/s':>7} {'int8':>8} {'median':>8}"
            f" {'float32':>8} {'/int8':>7} {'/f32':>7}"
        )
    rows = []
    for layer, precisions in cases:
        for row in bench(layer, precisions, arguments.seconds, arguments.isa):
            rows.append(row)
            if not arguments.json:
                print(render(row), flush=True)
    if arguments.json:
        json.dump({"machine": about, "rows": rows}, sys.stdout)
        print()
    elif rows:
        slow = [row for row in rows if row["ratio_int8"] < 1]
        print(f"slower than ONNX Runtime int8: {len(slow)} of {len(rows)} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
