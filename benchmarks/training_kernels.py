# SPDX-License-Identifier: Apache-2.0
"""The three products of a training step on the engine's integer kernels beside torch's float32 ones.

    python benchmarks/training_kernels.py [--threads 1] [--batch 32] [--bits w1a2g4 w1a2g6 w2a2g4] [--rounds 9] [--json]

Both are called in turn and the medians compared: below 1, the engine is faster. The engine's side begins with codes, a byte each,
and packs both of its operands in every call. It ends with integers, or, for the weights, with their scaled sum over the samples
as torch does (`backward_weight_total`); `backward_weight` is the integers before that, an array a sample, which torch has not.
Torch's side is the convolution alone, channels last, or the matrix product: neither side quantizes. On one thread the clock is
the process's CPU time, so that other programs disturb it little; on more it is wall time. Every product is compared with
torch's on the same integers first.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from bitlens.quant import Bits
from bitlens.runtime.products import LayerProducts

# name: side, channels in and out, kernel, stride (a fully connected layer is 1x1)
LAYERS = {
    "conv 32x32, 64 to 64, 3x3": (32, 64, 64, 3, 1),
    "conv 16x16, 128 to 128, 3x3": (16, 128, 128, 3, 1),
    "conv 8x8, 256 to 256, 3x3": (8, 256, 256, 3, 1),
    "conv 16x16, 128 to 256, 3x3 by 2": (16, 128, 256, 3, 2),
    "linear 2048 to 1024": (1, 2048, 1024, 1, 1),
}
Calls = dict[str, tuple[Callable[[], Any], Callable[[], Any]]]


def calls_of(layer: tuple[int, int, int, int, int], bits: Bits, batch: int, threads: int) -> Calls:
    """The engine's and torch's call of every product, after comparing their integers."""
    side, channels, outputs, kernel, stride = layer
    rng = np.random.default_rng(0)
    pad = kernel // 2
    products = LayerProducts(
        bits.weight, bits.activation, bits.gradient, stride=(stride, stride), padding=(pad, pad), threads=threads
    )
    a = rng.integers(0, 1 << bits.activation, (batch, side, side, channels)).astype(np.uint8)
    w = rng.integers(0, 1 << bits.weight, (outputs, kernel, kernel, channels)).astype(np.uint8)
    y = products.forward(a, w)
    ones = np.ones(batch, np.float32)
    g = rng.integers(0, 1 << bits.gradient, y.shape).astype(np.uint8)

    def real(codes: np.ndarray, lowest: int, step: int) -> torch.Tensor:
        return torch.from_numpy(codes.astype(np.float32) * step + lowest).permute(0, 3, 1, 2)

    x = real(a, 0, 1)
    weight = real(w, 1 - (1 << bits.weight), 2)
    gradient = real(g, 1 - (1 << bits.gradient), 2)

    flat = [values.flatten(1) for values in (x, weight, gradient)]  # of a layer without positions

    def forward() -> torch.Tensor:
        if side == 1:
            return (flat[0] @ flat[1].t())[:, :, None, None]
        return torch.conv2d(x, weight, None, stride, pad)

    def backward(which: int) -> torch.Tensor:
        if side == 1:
            return (flat[2] @ flat[1] if which == 0 else flat[2].t() @ flat[0])[:, :, None, None]
        mask = [which == 0, which == 1, False]
        sizes: Any = (gradient, x, weight, None, [stride] * 2, [pad] * 2, [1, 1], False, [0, 0], 1, mask)
        return torch.ops.aten.convolution_backward(*sizes)[which]

    calls: Calls = {
        "forward": (lambda: products.forward(a, w), forward),
        "backward_input": (lambda: products.backward_input(g, w, (side, side)), lambda: backward(0)),
        "backward_weight_total": (
            lambda: products.backward_weight_total(a, g, ones, (kernel, kernel)),
            lambda: backward(1),
        ),
        "backward_weight": (lambda: products.backward_weight(a, g, (kernel, kernel)), lambda: backward(1)),
    }
    for name, (ours, theirs) in calls.items():
        integers, floats = ours(), theirs().permute(0, 2, 3, 1).numpy()
        integers = integers.sum(0, dtype=np.int64) if name == "backward_weight" else integers
        if not np.array_equal(integers, floats):  # float32 holds these sums, below 2^24
            raise SystemExit(f"{name}: integers must equal torch's, not differ")
    return calls


def measure(ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int, threads: int) -> tuple[float, float]:
    """Milliseconds of both, medians of calls in turn."""
    clock = time.process_time if threads == 1 else time.perf_counter
    samples: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for call, found in zip((ours, theirs), samples, strict=True):
            started = clock()
            call()
            found.append(1e3 * (clock() - started))
    return statistics.median(samples[0]), statistics.median(samples[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--bits", nargs="+", default=["w1a2g4", "w1a2g6", "w2a2g4"])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = []
    for text in arguments.bits:
        for name, layer in LAYERS.items():
            for product, calls in calls_of(layer, Bits.parse("bits", text), arguments.batch, arguments.threads).items():
                ours, theirs = measure(*calls, arguments.rounds, arguments.threads)
                row = {"bits": text, "layer": name, "product": product, "engine": ours, "float": theirs}
                rows.append(row)
                if not arguments.json:
                    print(
                        f"{text:8} {name:34} {product:21} {ours:8.2f} ms, float {theirs:8.2f} ms: {ours / theirs:.2f}",
                        flush=True,
                    )
    if arguments.json:
        machine = {"machine": platform.machine(), "cores": os.cpu_count(), "torch": torch.__version__}
        print(json.dumps(machine | {"threads": arguments.threads, "batch": arguments.batch, "rows": rows}))


if __name__ == "__main__":
    main()
