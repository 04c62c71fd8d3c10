# SPDX-License-Identifier: Apache-2.0
"""One net, written as each operator set of ONNX writes its operators: one program."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

import bitlens
from bitlens.graph.file import Program
from exactness import assert_exact
from onnx_runtime import assert_operators
from qonnx_models import ModelBuilder

OPSETS = range(9, onnx.defs.onnx_opset_version() + 1)


class Net(ModelBuilder):
    """Operators that have changed, in the form of one operator set."""

    def __init__(self, opset: int) -> None:
        super().__init__(("N", 4, 6, 6))
        self.opset = opset

    def changed(self, op: str, x: str, since: int, outputs: int = 1, **values: Any) -> str:
        """An operator whose values were attributes before an operator set and are inputs since then."""
        if self.opset < since:
            return self.op(op, x, outputs=outputs, **values)
        whole = [np.int64 if name not in ("min", "max", "value", "ratio") else np.float32 for name in values]
        operands = [self.constant(value, dtype) for value, dtype in zip(values.values(), whole, strict=True)]
        return self.op(op, x, *operands, outputs=outputs)

    def enlarged(self, x: str) -> str:
        scales = self.constant([1, 1, 2, 2])
        if self.opset == 9:
            return self.op("Upsample", x, scales, mode="nearest")
        if self.opset == 10:
            return self.op("Resize", x, scales, mode="nearest")
        region = self.constant([]) if self.opset < 13 else ""  # must be given in 11 and 12
        attrs = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self.op("Resize", x, region, scales, mode="nearest", **attrs)

    def split(self, x: str) -> tuple[str, str]:
        if self.opset < 13:
            first = self.op("Split", x, axis=1, split=[3, 3], outputs=2)
        elif self.opset < 18:
            first = self.op("Split", x, self.constant([3, 3], np.int64), axis=1, outputs=2)
        else:
            first = self.op("Split", x, axis=1, num_outputs=2, outputs=2)
        return first, f"{first}.1"

    def lone(self, number: float) -> str:
        if self.opset < 12:
            value = helper.make_tensor("value", onnx.TensorProto.FLOAT, [], [number])
            return self.op("Constant", value=value)
        return self.op("Constant", value_float=number)


def net(opset: int) -> onnx.ModelProto:
    """A net with every operator of which a form has changed between operator sets."""
    rng = np.random.default_rng(0)
    b = Net(opset)
    x = b.conv(b.image(), rng.integers(-9, 10, (6, 4, 3, 3)), pads=[1, 1, 1, 1])
    x = b.batch_norm(x, *rng.normal(1, 0.1, (3, 6)), rng.uniform(1, 2, 6))
    x = b.changed("Clip", x, 11, min=0.0, max=3.0)
    x = b.changed("Dropout", b.op("Add", x, b.lone(0.125)), 12, ratio=0.5)
    x = b.quant(x, 0.2, 4)
    x = b.enlarged(b.changed("Pad", x, 11, pads=[0, 0, 1, 0, 0, 0, 1, 2]))
    x = b.changed("Slice", x, 10, starts=[1, 2], ends=[99, 12], axes=[2, 3])
    left, right = b.split(x)
    pool = {"kernel_shape": [2, 2], "strides": [2, 2]}
    left = b.quant(b.op("AveragePool", left, **pool), 0.1, 5)
    right = b.quant(b.op("MaxPool", right, **pool), 0.1, 5)
    x = b.op("Concat", left, right, axis=1)
    x = b.changed("ReduceMean", x, 18, axes=[2, 3])
    x = b.quant(x, 0.02, 8)
    x = b.changed("Squeeze", x, 13, axes=[3])
    x = b.changed("Unsqueeze", x, 13, axes=[3])
    x = b.op(
        "Gemm", b.op("Flatten", x), b.weights(rng.integers(-9, 10, (5, 6))), b.constant(rng.normal(size=5)), transB=1
    )
    return b.model(b.op("Softmax", x, axis=1), opset=opset)


@cache
def newest() -> bytes:
    return _without_names(bitlens.compile(net(OPSETS[-1])))


def _without_names(program: Program) -> bytes:
    """The file of a program, whose tensors are called alike whatever nodes the model had."""
    graph = program.graph.copy()
    numbers = {name: f"t{i}" for i, name in enumerate([*graph.inputs, *(node.output for node in graph)])}
    graph.inputs = [numbers[name] for name in graph.inputs]
    graph.outputs = [numbers[name] for name in graph.outputs]
    for node in graph:
        node.name = numbers[node.output]
        node.inputs, node.outputs = [numbers[name] for name in node.inputs], [numbers[name] for name in node.outputs]
    graph.values = {numbers[name]: value.with_(name=numbers[name]) for name, value in graph.values.items()}
    graph.output_names, graph.metadata = {}, {}
    return Program(graph).to_bytes()


@pytest.mark.parametrize("opset", OPSETS)
def test_every_operator_set_gives_one_program(opset: int) -> None:
    model = net(opset)
    program = assert_exact(model)
    assert _without_names(program) == newest()
    assert assert_operators(model, opset, lenient=opset > 22) > 10


def test_codes_may_be_clipped_before_onnx_knew_how() -> None:
    """Clip of int8 came with operator set 12; files of 11 hold it all the same."""
    b = ModelBuilder(("N", 2, 4, 4))
    parameters = b.constant(0.25), b.constant(0, np.int8)
    weights = b.op("QuantizeLinear", b.constant(np.arange(-4, 4).reshape(4, 2, 1, 1) * 0.25), *parameters)
    weights = b.op("Clip", weights, b.constant(-1, np.int8), b.constant(1, np.int8))
    x = b.op("Conv", b.image(), b.op("DequantizeLinear", weights, *parameters))
    program = assert_exact(b.model(x, opset=11))
    assert {*np.unique(next(node for node in program.graph if node.op == "conv").attrs["weights"])} == {-1, 0, 1}
