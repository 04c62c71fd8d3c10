# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from bitlens.core.grid import Grid
from bitlens.graph.spec import CompileError
from bitlens.qonnx.dialect import DOMAIN
from qonnx_models import ModelBuilder
from stages import after, assert_refused, only


def test_quantized_weights_become_integers_with_a_unit() -> None:
    b = ModelBuilder()
    unrounded = np.array([0.9, -0.3, 0.26]).reshape(1, 3, 1, 1)
    x = b.op("Conv", b.image(), b.quant(b.constant(unrounded), 0.25, 4, 1, 1))
    graph = after(b.model(x), "fold_constants")
    weights = only(graph, "Conv").inputs[1]
    assert graph.constants[weights].ravel().tolist() == [4, -1, 1]
    assert graph.constants[weights].dtype == np.int64
    assert graph.value(weights).grid == Grid.narrow(4)
    assert graph.value(weights).scale == np.float32(0.25)


def test_a_transpose_moves_integers_and_units() -> None:
    b = ModelBuilder(("N", 3))
    scale = np.array([[1.0], [2.0]], np.float32)
    weights = b.quant(b.constant(np.array([[1, 2, 3], [4, 6, 8]])), scale, 8, 1)
    graph = after(b.model(b.op("MatMul", b.image(), b.op("Transpose", weights, perm=[1, 0]))), "fold_constants")
    moved = only(graph, "MatMul").inputs[1]
    assert graph.constants[moved].tolist() == [[1, 2], [2, 3], [3, 4]]
    assert graph.value(moved).scale.tolist() == [[1, 2]]


def test_whole_weights_without_a_quantizer_are_integers_of_unit_1() -> None:
    b = ModelBuilder(("N", 3))
    graph = after(b.model(b.op("MatMul", b.image(), b.constant([[-3, 1], [0, 2], [5, 4]]))), "fold_constants")
    weights = only(graph, "MatMul").inputs[1]
    assert graph.constants[weights].dtype == np.int64
    assert (graph.value(weights).grid, graph.value(weights).scale) == (Grid.span(-3, 5), np.float32(1))


@pytest.mark.parametrize("array", [[[0.5], [1.0], [2.0]], [[1.0], [2.0], [129.0]], [[1.0], [np.inf], [0.0]]])
def test_other_weights_stay_real(array: list[list[float]]) -> None:
    b = ModelBuilder(("N", 3))
    graph = after(b.model(b.op("MatMul", b.image(), b.constant(array))), "fold_constants")
    assert graph.value(only(graph, "MatMul").inputs[1]).grid is None


def test_scales_may_be_computed_from_constants() -> None:
    b = ModelBuilder(("N", 3))
    scale = b.op("Div", b.constant(1.0), b.constant(4.0))
    weights = b.op(
        "Quant", b.constant(np.ones((2, 3))), scale, b.constant(0.0), b.constant(4.0),
        domain="qonnx.custom_op.general", signed=1, narrow=0, rounding_mode="ROUND",
    )  # fmt: skip
    graph = after(b.model(b.op("Gemm", b.image(), weights, transB=1)), "fold_constants")
    assert graph.constants[only(graph, "Gemm").inputs[1]].tolist() == [[4, 4, 4], [4, 4, 4]]


def test_constants_that_do_not_fit_each_other_are_refused() -> None:
    b = ModelBuilder(("N", 3))
    wrong = b.op("Mul", b.constant(np.ones((2, 3))), b.constant(np.ones(2)), name="scaled")
    model = b.model(b.op("Gemm", b.image(), wrong, transB=1))
    assert_refused(model, "scaled: inputs of Mul must fit each other, not (2, 3), (2,)")


def test_weights_that_are_not_finite_are_refused() -> None:
    b = ModelBuilder(("N", 1))
    weights = b.quant(b.constant([[np.nan]]), 1, 4, name="wq")
    model = b.model(b.op("Gemm", b.image(), weights, transB=1))
    assert_refused(model, "wq: numbers to quantize must be finite, not inf or nan; repair the model")


def test_integers_beyond_32_bits_are_refused() -> None:
    b = ModelBuilder()
    numbers = (b.constant(number) for number in (1e-3, 0, 8, 4))
    x = b.op("Trunc", b.constant([1e9]), *numbers, domain=DOMAIN, rounding_mode="FLOOR", name="trunc")
    with pytest.raises(CompileError, match=r"^trunc: integers must fit 32 bits, not reach .*; repair the file$"):
        after(b.model(b.op("Mul", b.image(), x)), "fold_constants")
