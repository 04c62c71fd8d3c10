# SPDX-License-Identifier: Apache-2.0
"""Products and means of real values in reference arithmetic, beside ONNX Runtime."""

import re
from typing import Any

import numpy as np
import pytest

import onnx_runtime
from bitlens.graph.execute import execute
from bitlens.graph.infer_shapes import infer_shapes
from bitlens.graph.spec import CompileError
from bitlens.qonnx.read import read
from qonnx_models import ModelBuilder

RNG = np.random.default_rng(0)
CASES: dict[str, tuple[str, tuple[tuple[int, ...], ...], dict[str, Any]]] = {
    "conv": ("Conv", ((4, 3, 3, 3),), {}),
    "conv with bias": ("Conv", ((4, 3, 3, 3), (4,)), {"strides": [2, 1], "pads": [1, 0, 2, 1]}),
    "grouped conv": ("Conv", ((6, 1, 3, 2),), {"group": 3, "dilations": [2, 1]}),
    "automatic pads": ("Conv", ((4, 3, 3, 3), (4,)), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    "transposed": ("ConvTranspose", ((3, 2, 3, 3), (2,)), {"strides": [2, 2], "pads": [1, 1, 0, 0]}),
    "transposed, grouped": (
        "ConvTranspose",
        ((3, 2, 2, 2),),
        {"group": 3, "output_padding": [1, 0], "strides": [2, 2]},
    ),
    "matrices of each image": ("MatMul", ((9, 4),), {}),
    "average": ("AveragePool", (), {"kernel_shape": [2, 3]}),
    "average at the border": ("AveragePool", (), {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]}),
    "average over padding": ("AveragePool", (), {"kernel_shape": [3, 3], "pads": [1, 1, 0, 1], "count_include_pad": 1}),
    "average of cut windows": ("AveragePool", (), {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    "global average": ("GlobalAveragePool", (), {}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_float_operator_is_close_to_onnx_runtime(name: str) -> None:
    op, shapes, attrs = CASES[name]
    b = ModelBuilder(("N", 3, 8, 9))
    model = b.model(b.op(op, "image", *(b.constant(RNG.normal(size=shape)) for shape in shapes), **attrs))
    _assert_close(model, RNG.normal(size=(2, 3, 8, 9)))


@pytest.mark.parametrize(
    "attrs",
    [{}, {"transB": 1}, {"alpha": 0.5, "beta": 2.0}, {"transB": 1, "alpha": -1.0}],
)
@pytest.mark.parametrize("bias", [(), ((5,),), ((1, 5),), ((1,),)])
def test_a_matrix_product_is_close_to_onnx_runtime(attrs: dict[str, Any], bias: tuple[tuple[int, ...], ...]) -> None:
    b = ModelBuilder(("N", 7))
    weights = RNG.normal(size=(5, 7) if attrs.get("transB") else (7, 5))
    operands = [b.constant(weights), *(b.constant(RNG.normal(size=shape)) for shape in bias)]
    _assert_close(b.model(b.op("Gemm", "image", *operands, **attrs)), RNG.normal(size=(3, 7)))


@pytest.mark.parametrize(("axes", "keepdims"), [([2, 3], 1), ([2, 3], 0), ([1], 1), ([-1], 0), (None, 1)])
def test_a_mean_over_any_axes_is_close_to_onnx_runtime(axes: list[int] | None, keepdims: int) -> None:
    b = ModelBuilder(("N", 3, 8, 9))
    operands = [] if axes is None else [b.constant(axes, np.int64)]
    _assert_close(
        b.model(b.op("ReduceMean", "image", *operands, keepdims=keepdims), opset=18), RNG.normal(size=(1, 3, 8, 9))
    )


def test_a_product_of_two_computed_tensors_is_close_to_onnx_runtime() -> None:
    b = ModelBuilder(("N", 3, 8, 8))
    model = b.model(b.op("MatMul", "image", b.op("Transpose", "image", perm=[0, 1, 3, 2])))
    _assert_close(model, RNG.normal(size=(2, 3, 8, 8)))


def _assert_close(model: Any, x: Any) -> None:
    graph, x = read(model), x.astype(np.float32)
    (name,) = graph.outputs
    found = execute(graph, {"image": x}, floats=True)[name].real
    wanted = onnx_runtime.evaluate(model, image=x)
    assert found.dtype == np.float32
    assert found.shape == wanted.shape
    assert np.allclose(found, wanted, rtol=1e-5, atol=1e-5)


def _quantized(unit_of_weights: Any, unit: Any, op: str = "Conv", **attrs: Any) -> Any:
    """A product of integers as the model has it, and its graph."""
    b = ModelBuilder(("N", 4, 5, 5) if op == "Conv" else ("N", 4))
    x = b.quant("image", unit, 4, 1, name="x")
    shape = {"Conv": (4, 4 // attrs.get("group", 1), 3, 3), "Gemm": (6, 4) if attrs.get("transB") else (4, 6)}[op]
    weights = b.quant(b.constant(RNG.normal(size=shape)), unit_of_weights, 4, 1, name="w")
    return read(b.model(b.op(op, x, weights, name="product", **attrs)))


@pytest.mark.parametrize(
    ("graph", "exact"),
    [
        (_quantized(0.25, 0.5), True),
        (_quantized(np.arange(1, 5).reshape(4, 1, 1, 1), 0.3), True),
        (_quantized(np.arange(1, 5).reshape(1, 4, 1, 1), 0.3), False),  # a unit for each input
        (_quantized(0.25, np.arange(1, 5).reshape(4, 1, 1)), False),
        (_quantized(0.25, np.arange(1, 5).reshape(4, 1, 1), group=4), True),
        (_quantized(np.arange(1, 7).reshape(6, 1), 0.3, "Gemm", transB=1), True),
        (_quantized(np.arange(1, 5).reshape(1, 4), 0.3, "Gemm", transB=1), False),
        (_quantized(np.arange(1, 7).reshape(1, 6), 0.3, "Gemm"), True),
        (_quantized(np.arange(1, 5).reshape(4, 1), 0.3, "Gemm"), False),
        (_quantized(0.25, 0.5, "Gemm", alpha=0.5), False),
    ],
)
def test_integers_of_one_unit_an_output_are_summed_exactly(graph: Any, exact: bool) -> None:
    infer_shapes(graph)
    x = RNG.normal(size=(2, *(graph.value("image").shape or ())[1:])).astype(np.float32)
    found = execute(graph, {"image": x}, floats=True)
    product = found[graph.outputs[0]]
    assert (product.integers is not None) == exact
    if exact:
        assert np.array_equal(product.real, execute(graph, {"image": x})[graph.outputs[0]].real)
    wanted = _slow(graph, {name: tensor.real for name, tensor in found.items()})
    assert np.allclose(product.real, wanted, rtol=1e-5, atol=1e-5)


def _slow(graph: Any, tensors: Any) -> Any:
    """The product of the quantized tensors' real values, one output at a time."""
    node = graph.nodes[-1]
    x, w = (tensors[name].astype(np.float64) for name in node.inputs)
    if node.op == "Gemm":
        return node.attrs["alpha"] * x @ (w.T if node.attrs["transB"] else w)
    n, size, groups = len(x), x.shape[2] - 2, node.attrs["group"]
    found = np.zeros((n, len(w), size, size))
    for o in range(len(w)):
        part = np.split(x, groups, axis=1)[o * groups // len(w)]
        for i in range(size):
            for j in range(size):
                found[:, o, i, j] = (part[:, :, i : i + 3, j : j + 3] * w[o]).sum(axis=(1, 2, 3))
    return found


def test_refusals() -> None:
    b = ModelBuilder()
    model = b.model(b.op("Conv", "image", b.constant(np.ones((1, 3, 3, 3))), name="conv"))
    sentence = "conv: input of Conv must be quantized, not float; put a quantizer before it"
    with pytest.raises(CompileError, match=rf"\A{re.escape(sentence)}\Z"):
        execute(read(model), {"image": np.zeros((1, 3, 8, 8), np.float32)})
    b = ModelBuilder()
    attrs = {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1, "count_include_pad": 1}
    model = b.model(b.op("AveragePool", "image", name="pool", **attrs))
    sentence = "pool: ceil_mode must be 0 where padding counts, not 1; pad the map explicitly instead"
    with pytest.raises(CompileError, match=rf"\A{re.escape(sentence)}\Z"):
        execute(read(model), {"image": np.zeros((1, 3, 8, 8), np.float32)}, floats=True)
