# SPDX-License-Identifier: Apache-2.0
import numpy as np

import bitlens
from bitlens.graph.file import Program
from qonnx_models import ModelBuilder
from stages import assert_refused


def _program(bias: object) -> tuple[Program, str]:
    b = ModelBuilder(("N", 2))
    x = b.quant("image", 0.5, 2)
    y = b.op("Gemm", x, b.weights([[1, 2], [3, -1]], scale=0.25), b.constant(bias), transB=1)
    return bitlens.compile(b.model(y)), y


def test_a_bias_on_the_sums_grid_joins_the_sum() -> None:
    program, y = _program([0.5, -0.125])
    (node,) = program.graph
    assert node.attrs["bias"].tolist() == [4, -1]
    assert program.graph.value(node.output).offset == 0
    assert program.run(np.array([[[[1, 1]]]]))[y].tolist() == [[[[7, 1]]]]


def test_another_bias_is_an_offset() -> None:
    program, _ = _program([0.5, -0.1])
    (node,) = program.graph
    assert node.attrs["bias"] is None
    assert program.graph.value(node.output).offset.tolist() == [0.5, np.float32(-0.1)]


def test_batch_norm_is_scale_and_offset() -> None:
    b = ModelBuilder()
    x = b.conv(b.image(), np.ones((2, 3, 1, 1)))
    y = b.op("Div", b.batch_norm(x, [2, -4], [1, 2], [0, 0], [1, 1]), b.constant(2))
    program = bitlens.compile(b.model(y))
    value = program.graph.value(program.graph.outputs[0])
    np.testing.assert_allclose(value.scale, np.array([1, -2]) * 0.25 / 255, rtol=1e-4)
    np.testing.assert_allclose(value.offset, [0.5, 1], rtol=1e-4)


def test_a_slope_of_zero_leaves_the_offset() -> None:
    b = ModelBuilder()
    x = b.conv(b.image(), np.ones((1, 3, 1, 1)))
    program = bitlens.compile(b.model(b.batch_norm(x, [0], [3], [0], [1])))
    value = program.graph.value(program.graph.outputs[0])
    assert (value.scale, value.offset) == (0, 3)


def test_sums_may_have_other_readers() -> None:
    b = ModelBuilder(("N", 2))
    x = b.op("Gemm", b.image(), b.weights(np.ones((2, 2))), transB=1)
    scores = b.op("Mul", x, b.constant(3.0))
    program = bitlens.compile(b.model(scores, b.op("Gemm", b.quant(x, 0.5, 3), b.weights(np.ones((1, 2))), transB=1)))
    assert [node.op for node in program.graph] == ["conv", "steps", "conv"]


def test_a_quantizer_may_end_a_model() -> None:
    b = ModelBuilder()
    y = b.quant(b.op("Abs", b.conv(b.image(), np.ones((1, 3, 1, 1)))), 1, 2)
    program = bitlens.compile(b.model(y))
    assert [node.op for node in program.graph] == ["conv", "steps"]
    assert [*program.run(np.zeros((1, 8, 8, 3), int))] == [y]


def test_an_output_of_real_values_is_refused() -> None:
    b = ModelBuilder()
    x = b.op("Relu", b.conv(b.image(), np.ones((1, 3, 1, 1))), name="relu")
    assert_refused(
        b.model(x),
        "relu: output must be a sum with scale and offset, not end in Relu; quantize it, or cut the model before it, "
        "or run it in float on the host with --float-islands",
    )


def test_two_outputs_of_one_sum_are_refused() -> None:
    b = ModelBuilder()
    x = b.conv(b.image(), np.ones((1, 3, 1, 1)))
    model = b.model(x, b.op("Neg", x, name="minus"))
    assert_refused(
        model,
        f"minus: output must have integers of its own, not those of {x}; leave one of the two out of the model",
    )


def test_an_output_of_the_input_is_refused() -> None:
    b = ModelBuilder()
    model = b.model(b.op("Mul", b.image(), b.constant(2), name="twice"))
    assert_refused(model, "twice: output must be computed from sums, not from the input; quantize it")
    b = ModelBuilder()
    model = b.model(b.image())
    assert_refused(model, "image: output must be computed, not an input; leave it out of the model")
