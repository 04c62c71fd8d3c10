# SPDX-License-Identifier: Apache-2.0
"""Compile a ResNet-50-size model (random w4a4 weights, 224x224): seconds and peak memory, which have limits.

The limit is on processor seconds, so that a busy machine does not fail.

.venv/bin/python benchmarks/compile_resnet50.py [--profile]
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import bitlens
from bitlens.qonnx.dialect import DOMAIN, DOMAIN_VERSION

STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))  # channels inside, blocks, stride
MOST_SECONDS, MOST_BYTES = 60, 4 << 30


class _Net:
    """Operators one behind the other."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def constant(self, array: object) -> str:
        self.initializers.append(numpy_helper.from_array(np.asarray(array, np.float32), f"c{len(self.initializers)}"))
        return self.initializers[-1].name

    def op(self, op: str, *inputs: str, domain: str = "", **attrs: object) -> str:
        name = f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, [*inputs], [name], name, domain=domain, **attrs))
        return name

    def quant(self, x: str, scale: float, bits: int, signed: int = 0) -> str:
        operands = [self.constant(number) for number in (scale, 0, bits)]
        return self.op("Quant", x, *operands, domain=DOMAIN, signed=signed, narrow=signed, rounding_mode="ROUND")

    def weights(self, *shape: int, bits: int = 4) -> str:
        scale = 3 / np.sqrt(np.prod(shape[1:])) / 2 ** (bits - 1)
        return self.quant(self.constant(self.rng.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape)), scale, bits, 1)

    def conv(self, x: str, inputs: int, outputs: int, kernel: int, stride: int = 1, bits: int = 4) -> str:
        x = self.op(
            "Conv",
            x,
            self.weights(outputs, inputs, kernel, kernel, bits=bits),
            strides=[stride] * 2,
            pads=[kernel // 2] * 4,
        )
        mean, gamma = self.rng.normal(0, 0.1, (2, outputs))
        numbers = [self.constant(array) for array in (1 + gamma, mean, mean, 0.5 + gamma**2)]
        return self.op("BatchNormalization", x, *numbers)

    def block(self, x: str, inputs: int, inside: int, stride: int) -> str:
        y = self.quant(self.op("Relu", self.conv(x, inputs, inside, 1)), 0.15, 4)
        y = self.quant(self.op("Relu", self.conv(y, inside, inside, 3, stride)), 0.15, 4)
        y = self.quant(self.conv(y, inside, 4 * inside, 1), 0.05, 8, 1)
        changes = stride != 1 or inputs != 4 * inside
        skip = self.conv(x, inputs, 4 * inside, 1, stride) if changes else x
        return self.quant(self.op("Relu", self.op("Add", y, self.quant(skip, 0.05, 8, 1))), 0.15, 4)


def resnet50() -> onnx.ModelProto:
    """Return the model: 25.5 million weights, 53 convolutions."""
    net = _Net()
    x = net.conv(net.quant("image", 1 / 255, 8), 3, 64, 7, 2, bits=8)
    x = net.op("MaxPool", net.quant(net.op("Relu", x), 0.15, 4), kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    inputs = 64
    for inside, blocks, stride in STAGES:
        for i in range(blocks):
            x = net.block(x, inputs, inside, stride if i == 0 else 1)
            inputs = 4 * inside
    x = net.quant(net.op("GlobalAveragePool", x), 0.01, 8)
    x = net.op("Gemm", net.op("Flatten", x), net.weights(1000, inputs, bits=8), transB=1)
    ends = [helper.make_tensor_value_info(x, TensorProto.FLOAT, None)]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ("N", 3, 224, 224))
    graph = helper.make_graph(net.nodes, "resnet50", [image], ends, net.initializers)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, DOMAIN_VERSION)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", action="store_true", help="print where the time goes")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "resnet50.onnx"
        onnx.save(resnet50(), path)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        profile = cProfile.Profile()
        if arguments.profile:
            profile.enable()
        start, busy = time.perf_counter(), time.process_time()
        program = bitlens.compile(path, progress=True)
        content = program.to_bytes()
        seconds, busy = time.perf_counter() - start, time.process_time() - busy
        profile.disable()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    print(
        f"{len(content) / 1e6:.1f} MB, {seconds:.1f} s, {busy:.1f} s of the processor (at most {MOST_SECONDS}), "
        f"peak {peak / 2**30:.2f} GiB (at most {MOST_BYTES >> 30}; {before / 2**30:.2f} before)"
    )
    if arguments.profile:
        pstats.Stats(profile).sort_stats("cumulative").print_stats(60)
    return int(busy > MOST_SECONDS or peak > MOST_BYTES)


if __name__ == "__main__":
    sys.exit(main())
