# SPDX-License-Identifier: Apache-2.0
"""Channels-last models, beside ONNX Runtime."""

import numpy as np
import onnx
import pytest

import bitlens
from bitlens.graph.spec import CompileError
from onnx_runtime import evaluate
from qonnx_models import ModelBuilder

LAST, FIRST = [0, 2, 3, 1], [0, 3, 1, 2]
SHAPE = (2, 6, 5, 3)  # (N, H, W, C)


class Last(ModelBuilder):
    """A model of (N, H, W, C)."""

    def __init__(self) -> None:
        super().__init__(("N", *SHAPE[1:]))
        self.rng = np.random.default_rng(0)

    def conv(self, x: str, outputs: int, inputs: int, **attrs) -> str:  # type: ignore[override]
        weights = self.fake(self.constant(self.rng.normal(0, 0.4, (outputs, inputs, 3, 3))), 0.013, np.int8)
        x = self.op("Transpose", x, perm=FIRST)
        return self.op("Transpose", self.op("Conv", x, weights, **attrs), perm=LAST)

    def matrix(self, inputs: int, outputs: int) -> str:
        return self.fake(self.constant(self.rng.normal(0, 0.4, (inputs, outputs))), 0.013, np.int8)


def assert_equal(b: Last, x: str, ops: list[str]) -> None:
    model = b.model(x)
    image = (np.random.default_rng(1).integers(0, 256, SHAPE) / 255).astype(np.float32)
    wanted = evaluate(model, image=image)
    program = bitlens.compile(model)
    assert ["steps" if node.op == "rescale" else node.op for node in program.graph] == ops
    (real,) = bitlens.Session(program).run(np.rint(image * 255).astype(np.uint8), real=True).values()
    np.testing.assert_allclose(real.reshape(wanted.shape), wanted, rtol=1e-4, atol=1e-4)


def test_a_net_with_a_classifier() -> None:
    b = Last()
    x = b.conv(b.fake("image", 1 / 255), 4, 3, pads=[1, 1, 1, 1])
    x = b.op("Add", b.op("Mul", x, b.constant([0.5, 1.0, -1.0, 2.0])), b.constant([0.1, 0.2, 0.3, 0.4]))
    x = b.fake(b.op("Relu", x), 0.017)
    x = b.conv(x, 5, 4, strides=[2, 2])
    x = b.fake(x, 0.019, np.int8)
    flat = b.op("Reshape", x, b.constant([0, -1], np.int64))
    assert_equal(b, b.op("MatMul", flat, b.matrix(2 * 2 * 5, 7)), ["conv", "steps", "conv", "steps", "conv"])


@pytest.mark.parametrize("way", ["mean", "output", "join"])
def test_ends(way: str) -> None:
    b = Last()
    first = b.fake("image", 1 / 255)
    x = b.fake(b.conv(first, 4, 3), 0.017, np.int8)
    if way == "mean":
        x = b.fake(b.op("ReduceMean", x, axes=[1, 2], keepdims=0), 0.0131, np.int8)
        assert_equal(b, b.op("MatMul", x, b.matrix(4, 2)), ["conv", "steps", "sum_pool", "steps", "conv"])
    elif way == "output":
        assert_equal(b, x, ["conv", "steps"])
    else:
        other = b.fake(b.conv(first, 2, 3), 0.017, np.int8)
        assert_equal(b, b.op("Concat", x, other, axis=-1), ["conv", "steps", "conv", "steps", "concat"])


def test_operators_of_the_channels_last_domain() -> None:
    b = Last()
    domain = "qonnx.custom_op.channels_last"
    integers = b.rng.integers(-9, 10, (4, 2, 3, 3))  # (O, kh, kw, C)
    x = b.op(
        "Conv", b.image(), b.weights(integers), domain=domain, kernel_shape=[2, 3], strides=[1, 1], pads=[0, 0, 0, 0]
    )
    x = b.quant(x, 0.5, 3, 1)
    x = b.op("MaxPool", x, domain=domain, kernel_shape=[2, 2], strides=[1, 1], pads=[0, 0, 0, 0])
    model = b.model(x)
    model.opset_import.append(onnx.helper.make_opsetid(domain, 1))
    program = bitlens.compile(model)
    assert [node.op for node in program.graph] == ["conv", "steps", "max_pool"]
    assert program.graph.value("image").shape == (6, 5, 3)
    assert np.array_equal(program.graph.nodes[0].attrs["weights"], integers)


def test_an_operator_of_that_domain_needs_its_operands() -> None:
    b = Last()
    x = b.op("Conv", b.image(), domain="qonnx.custom_op.channels_last", name="conv")
    with pytest.raises(CompileError, match=r"^conv: Conv must have 2 inputs, not 1$"):
        bitlens.compile(b.model(x))
