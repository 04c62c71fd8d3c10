# SPDX-License-Identifier: Apache-2.0
"""Reference execution, operator by operator, against ONNX Runtime and against exact sums."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from bitlens.graph.execute import Tensor, execute, execute_node
from bitlens.graph.graph import Graph, Node
from bitlens.graph.spec import IMPORTED_OPS, REQUIRED, CompileError
from bitlens.qonnx.dialect import DOMAIN
from bitlens.qonnx.read import read
from exactness import assert_exact
from onnx_runtime import assert_operators, evaluate_node
from qonnx_models import ModelBuilder
from random_models import random_model


@pytest.mark.parametrize("op", ["MultiThreshold", "Trunc"])
def test_layers_may_follow_thresholds_and_truncation(op: str) -> None:
    b = ModelBuilder(("N", 2, 5, 5))
    x = b.conv(b.image(), np.arange(-4, 4).reshape(4, 2, 1, 1))
    if op == "Trunc":
        x = b.quant(x, 0.25, 6, 1)
        x = b.op(
            op,
            x,
            *(b.constant(n) for n in (0.25, 0, 6, 1, 4)),
            domain=DOMAIN,
            signed=1,
            narrow=0,
            rounding_mode="FLOOR",
        )
    else:
        attrs = {"out_dtype": "INT2", "out_scale": 0.0883287, "out_bias": float(np.float32(-1.5 * 0.0883287))}
        x = b.op(op, x, b.constant([[-0.5, 0.1, 0.5]]), domain=DOMAIN, data_layout="NCHW", **attrs)
    assert_exact(b.model(b.conv(x, np.ones((1, 4, 3, 3)))))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_operators_mean_what_onnx_runtime_computes(seed: int) -> None:
    assert_operators(random_model(seed, 4), seed)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_integers_stand_behind_real_values(seed: int) -> None:
    graph = read(random_model(seed, 4, ModelBuilder, sequences=False))
    (name,) = graph.inputs
    images = np.random.default_rng(seed).integers(0, 256, (1, *(graph.value(name).shape or ())[1:]))
    for tensor in execute(graph, {name: images}).values():
        assert tensor.integers is None or tensor.integers.dtype == np.int64
        if tensor.integers is not None:
            assert tensor.unit is not None
            np.testing.assert_array_equal(tensor.integers.astype(np.float32) * tensor.unit, tensor.real)
        else:
            assert tensor.real.dtype in (np.float32, np.int64)


def test_sums_are_exact_and_rounded_once() -> None:
    b = ModelBuilder(("N", 3))
    x = b.quant("image", 1.0, 16, 1)
    weights = b.quant(b.constant([[30001.0, 30001.0, 1.0]]), 1.0, 16, 1)
    tensors = execute(
        read(b.model(b.op("Gemm", x, weights, transB=1))), {"image": np.array([[30001, 30000, 1]], np.float32)}
    )
    sums = 30001 * 30001 + 30001 * 30000 + 1  # above 2^24: float32 additions would round
    scores = tensors["gemm_2"]
    assert scores.sums is not None
    assert scores.sums.item() == sums
    assert scores.real.item() == np.float32(sums)


def test_a_bias_of_the_sums_unit_joins_the_exact_sum() -> None:
    def scores(unit: float) -> Tensor:
        b = ModelBuilder(("N", 1))
        weights = b.quant(b.constant([[0.75]]), 0.25, 8, 1)
        bias = b.quant(b.constant([5.0]), unit, 32, 1, 1)
        model = b.model(b.op("Gemm", b.quant("image", 0.5, 8), weights, bias, transB=1))
        return execute(read(model), {"image": np.array([[2.0]], np.float32)})["gemm_3"]

    whole, other = scores(0.125), scores(0.0625)
    assert whole.integers is not None
    assert (whole.integers.item(), whole.real.item()) == (4 * 3 + 40, 6.5)
    assert other.integers is None
    assert other.real.item() == 6.5
    assert whole.sums is not None
    assert whole.sums.item() == 12


def test_depthwise_layers_keep_the_units_of_their_channels_apart() -> None:
    b = ModelBuilder(("N", 2, 1, 1))
    x = b.quant("image", np.array([1.0, 2.0]).reshape(1, 2, 1, 1), 8)
    weights = b.quant(b.constant(np.ones((4, 1, 1, 1))), np.array([1.0, 2, 4, 8]).reshape(4, 1, 1, 1) / 8, 8, 1)
    tensors = execute(read(b.model(b.op("Conv", x, weights, group=2))), {"image": np.full((1, 2, 1, 1), 6, np.float32)})
    found = tensors["conv_2"]
    assert found.unit is not None
    assert found.unit.ravel().tolist() == [1 / 8, 2 / 8, 8 / 8, 16 / 8]
    assert found.real.ravel().tolist() == [6, 6, 6, 6]


def test_integer_inputs_are_integers() -> None:
    b = ModelBuilder(("N", 2), TensorProto.UINT8)
    tensors = execute(read(b.model(b.op("Cast", "image", to=1))), {"image": np.array([[3, 255]], np.uint8)})
    assert tensors["cast_0"].integers is not None
    assert tensors["cast_0"].integers.tolist() == [[3, 255]]


def run(op: str, *operands: Tensor | None, **attrs: object) -> Tensor:
    defaults = (
        {name: value for name, value in IMPORTED_OPS[op].attrs.items() if value is not REQUIRED}
        if op in IMPORTED_OPS
        else {}
    )
    names = ["" if operand is None else f"x{i}" for i, operand in enumerate(operands)]
    return execute_node(Graph(), Node(op, "node", names, ["y"], defaults | attrs), [*operands])


def real(*values: object, dtype: type = np.float32) -> Tensor:
    return Tensor(np.asarray(values, dtype))


def test_joins_of_one_unit_are_integers_others_real() -> None:
    a = Tensor.quantized(np.array([[1, 2]]), np.float32(0.5))
    b = Tensor.quantized(np.array([[3, 5]]), np.float32(0.5))
    c = Tensor.quantized(np.array([[3, 5]]), np.float32(0.25))
    total, joined = run("Add", a, b), run("Concat", a, b, axis=1)
    assert total.integers is not None
    assert total.integers.tolist() == [[4, 7]]
    assert joined.integers is not None
    assert joined.integers.tolist() == [[1, 2, 3, 5]]
    finer, beside = run("Add", a, c), run("Concat", a, c, axis=1)
    assert finer.integers is not None
    assert finer.integers.tolist() == [[5, 9]]
    assert beside.integers is not None
    assert beside.integers.tolist() == [[2, 4, 3, 5]]
    d = Tensor.quantized(np.array([[3, 5]]), np.float32(0.3))
    assert run("Add", a, d).integers is None
    assert run("Concat", a, d, axis=1).integers is None


def constant(*values: object) -> Tensor:
    return replace(real(*values), constant=True)


@pytest.mark.parametrize(
    ("op", "operands", "integers", "unit"),
    [
        ("Sub", ("one", "x"), [[2, 0]], 0.25),  # 1 - x
        ("Add", ("x", "one"), [[6, 8]], 0.25),
        ("Add", ("one", "x"), [[6, 8]], 0.25),
        ("Sub", ("x", "one"), [[-2, 0]], 0.25),
        ("Mul", ("x", "three"), [[2, 4]], 0.75),
        ("Mul", ("three", "x"), [[2, 4]], 0.75),
        ("Mul", ("x", "minus"), [[-2, -4]], 0.125),
        ("Div", ("x", "minus"), [[-2, -4]], 0.5),
        ("Neg", ("x",), [[-2, -4]], 0.25),
        ("Mul", ("x", "apart"), [[2, 4]], [[0.25, 0.75]]),
        ("Mul", ("x", "minus_apart"), [[-2, -4]], [[0.25, 0.75]]),
        ("Add", ("x", "third"), None, None),  # no whole number of units
        ("Sub", ("third", "x"), None, None),
        ("Div", ("one", "x"), None, None),
        ("Mul", ("x", "mixed"), None, None),  # signs differ
        ("Mul", ("x", "nothing"), None, None),
        ("Div", ("x", "nothing"), None, None),
        ("Mul", ("x", "endless"), None, None),
        ("Mul", ("x", "least"), None, None),  # a unit of 0
    ],
)
def test_scale_and_whole_offset_keep_integers(
    op: str, operands: tuple[str, ...], integers: object, unit: object
) -> None:
    numbers = {
        "x": Tensor.quantized(np.array([[2, 4]]), np.float32(0.25)),
        **{"one": constant(1.0), "three": constant(3.0), "minus": constant(-0.5), "third": constant(1 / 3)},
        **{"apart": constant(1.0, 3.0), "minus_apart": constant(-1.0, -3.0), "mixed": constant(1.0, -1.0)},
        **{"nothing": constant(0.0), "endless": constant(np.inf), "least": constant(1e-45)},
    }
    found = run(op, *(numbers[name] for name in operands))
    assert found.integers is None  # its real values are those of float32 operators
    if integers is None:
        assert found.exact is None
        return
    assert found.exact is not None
    assert found.exact.integers is not None
    assert found.exact.integers.tolist() == integers
    np.testing.assert_array_equal(np.asarray(found.exact.unit), np.float32(unit))
    np.testing.assert_allclose(found.real, found.exact.real, rtol=1e-6)


def test_products_are_exact_in_the_product_of_their_units() -> None:
    a = Tensor.quantized(np.array([[30001, -2]]), np.float32(0.1))
    b = Tensor.quantized(np.array([[30001, 5]]), np.float32(0.3))
    found = run("Mul", a, b)
    assert found.integers is not None
    assert found.integers.tolist() == [[900060001, -10]]
    assert found.unit == np.float32(0.1) * np.float32(0.3)
    whole = run("Mul", run("Sub", constant(1.0), Tensor.quantized(np.array([[3, 4]]), np.float32(0.25))), b)
    assert whole.integers is not None
    assert whole.integers.tolist() == [[30001, 0]]


def test_a_quantized_constant_is_a_constant() -> None:
    x = Tensor.quantized(np.array([[3, 4]]), np.float32(0.25))
    c = replace(Tensor.quantized(np.array([[2, 2]]), np.float32(0.5)), constant=True)
    for op in ("Add", "Mul", "Sub"):
        found = run(op, x, c)
        assert found.integers is None
        assert found.exact is not None
        np.testing.assert_array_equal(found.real, found.exact.real)


@pytest.mark.parametrize("op", ["Transpose", "Reshape"])
def test_moves_take_whole_numbers_along(op: str) -> None:
    x = run("Sub", constant(1.0), Tensor.quantized(np.arange(6).reshape(1, 2, 3), np.float32(0.25)))
    found = run(op, x, perm=(0, 2, 1)) if op == "Transpose" else run(op, x, real(0, -1, dtype=np.int64))
    assert found.exact is not None
    np.testing.assert_array_equal(found.exact.real, found.real)


def test_moves_take_units_along() -> None:
    x = Tensor.quantized(np.arange(6).reshape(1, 2, 3), np.array([1, 2], np.float32).reshape(1, 2, 1))
    for found in (
        run("Transpose", x, perm=(0, 2, 1)),
        run("Flatten", x),
        run("Reshape", x, real(0, -1, dtype=np.int64)),
    ):
        assert found.integers is not None
        assert found.unit is not None
        np.testing.assert_array_equal(found.real, found.integers * np.broadcast_to(found.unit, found.integers.shape))


def test_shapes_are_computed_as_whole_numbers() -> None:
    shape = run("Shape", real([[1, 2, 3]]))
    assert shape.real.tolist() == [1, 1, 3]
    last = run("Gather", shape, real(-1, dtype=np.int64), axis=0)
    assert last.real.tolist() == [3]
    both = run("Concat", real(-1, dtype=np.int64), last, axis=0)
    assert both.real.dtype == np.int64
    assert run("Div", real(7, dtype=np.int64), real(2, dtype=np.int64)).real.tolist() == [3]
    assert run(
        "Slice", shape, *(real(v, dtype=np.int64) for v in (0, 3)), None, real(2, dtype=np.int64)
    ).real.tolist() == [1, 3]


def test_casts_and_mixed_numbers() -> None:
    assert run("Cast", real(1.75, -1.75), to=7).real.tolist() == [1, -1]
    assert run("Cast", real(3, dtype=np.int64), to=1).real.dtype == np.float32
    assert run("Mul", real(1.5), real(3, dtype=np.int64)).real.dtype == np.float32
    assert run("Add", real(1.5), real(3, dtype=np.int64)).real.dtype == np.float32


def test_softmaxes_and_argmax() -> None:
    x = real([1000.0, 1000.0, 999.0])
    np.testing.assert_allclose(run("Softmax", x, axis=-1).real, [[0.4223188, 0.4223188, 0.1553624]], rtol=1e-6)
    np.testing.assert_allclose(run("LogSoftmax", x, axis=-1).real, [[-0.8619948, -0.8619948, -1.8619949]], rtol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize(
    "attrs", [{}, {"keepdims": 0}, {"select_last_index": 1}, {"select_last_index": 1, "keepdims": 0}]
)
def test_argmax_is_that_of_onnx_runtime(axis: int, attrs: dict[str, int]) -> None:
    x = np.random.default_rng(0).integers(0, 3, (4, 3, 5)).astype(np.float32)  # with equals
    node = helper.make_node("ArgMax", ["x"], ["y"], axis=axis, **attrs)
    assert np.array_equal(run("ArgMax", Tensor(x), axis=axis, **attrs).real, evaluate_node(node, [x], 17))


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("largest", [0, 1])
def test_top_k_and_hardmax_are_those_of_onnx_runtime(axis: int, largest: int) -> None:
    x = np.random.default_rng(0).permutation(60).reshape(4, 3, 5).astype(np.float32)
    count = np.array([2], np.int64)
    values, places = (
        run("TopK", Tensor(x), Tensor(count), axis=axis, largest=largest, part=part, parts=2).real for part in (0, 1)
    )
    node = helper.make_node("TopK", ["x", "count"], ["values", "places"], axis=axis, largest=largest)
    assert np.array_equal(values, evaluate_node(node, [x, count], 17))
    assert np.array_equal(np.take_along_axis(x, places, axis), values)
    node = helper.make_node("Hardmax", ["x"], ["y"], axis=axis)
    assert np.array_equal(run("Hardmax", Tensor(x), axis=axis).real, evaluate_node(node, [x], 17))


@pytest.mark.parametrize(
    ("op", "operands", "attrs", "sentence"),
    [
        ("GridSample", (real(1.0),), {}, "node: operator must be one that reference arithmetic knows, not GridSample"),
        (
            "Conv",
            (real(1.0), real(1.0)),
            {},
            "node: input of Conv must be quantized, not float; put a quantizer before it",
        ),
        ("Add", (real(1.0, 2.0), real(1.0, 2.0, 3.0)), {}, "node: inputs of Add must fit each other, not (2,), (3,)"),
        ("Clip", (real(1.0), None, real([1.0, 2.0])), {"min": 0}, None),
        (
            "Squeeze",
            (real([1.0, 2.0]), real(1, dtype=np.int64)),
            {},
            "node: inputs of Squeeze must fit each other, not (1, 2), (1,)",
        ),
        ("Cast", (real(1.0),), {"to": 3}, "node: Cast must be to FLOAT, INT32 or INT64, not to type 3"),
    ],
)
def test_refusals(op: str, operands: tuple[Tensor | None, ...], attrs: dict, sentence: str | None) -> None:
    if sentence is None:
        run(op, *operands)
        return
    with pytest.raises(CompileError, match=rf"\A{re.escape(sentence)}\Z"):
        run(op, *operands, **attrs)


def test_numbers_to_quantize_must_be_finite() -> None:
    b = ModelBuilder(("N", 1))
    model = b.model(b.quant(b.op("Div", "image", b.constant(0.0)), 1.0, 4, name="act"))
    sentence = "act: numbers to quantize must be finite, not inf or nan; repair the model"
    with pytest.raises(CompileError, match=rf"\A{re.escape(sentence)}\Z"):
        execute(read(model), {"image": np.zeros((1, 1), np.float32)})


def test_parameters_do_not_enlarge_a_tensor() -> None:
    graph = Graph(constants={"s": np.ones((2, 1), np.float32), "z": np.zeros(()), "b": np.full((), 4)})
    node = Node("Quant", "quant", ["x", "s", "z", "b"], ["y"], {"signed": 1, "narrow": 0, "rounding_mode": "ROUND"})
    operands = [Tensor(np.zeros((1, 3), np.float32)), *(Tensor(graph.constants[name]) for name in "szb")]
    sentence = r"quant: inputs of Quant must fit each other, not \(1, 3\), \(2, 1\), \(\), \(\)"
    with pytest.raises(CompileError, match=rf"^{sentence}$"):
        execute_node(graph, node, operands)
