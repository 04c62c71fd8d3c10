# SPDX-License-Identifier: Apache-2.0
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto

import bitlens
import onnx_runtime
from bitlens.core.grid import Grid
from bitlens.graph.graph import Graph
from bitlens.graph.spec import CompileError
from processors import ISAS
from qonnx_models import ModelBuilder
from stages import after, assert_refused, only

TABLE = np.random.default_rng(0).normal(0, 1, (7, 5)).astype(np.float32)


def _builder(kind: int = TensorProto.INT64) -> ModelBuilder:
    return ModelBuilder(("N",), kind)


def _rows(b: ModelBuilder, table: np.ndarray = TABLE, **attrs: int) -> str:
    return b.op("Gather", b.constant(table), "image", name="words", **attrs)


def _scores(model: onnx.ModelProto, numbers: np.ndarray) -> np.ndarray:
    """Real values (N, C), the same on every instruction set."""
    program, x = bitlens.compile(model), numbers.reshape(-1, 1, 1, 1)
    (golden,) = program.run(x).values()
    for isa in ISAS:
        session = bitlens.Session(program, isa=isa)
        (found,) = session.run(x).values()
        np.testing.assert_array_equal(found, golden, err_msg=isa)
    (real,) = session.run(x, real=True).values()
    return real.reshape(len(numbers), -1)


@pytest.mark.parametrize("kind", [TensorProto.INT64, TensorProto.INT32])
def test_a_quantized_row_is_a_row_of_the_quantized_table(kind: int) -> None:
    b = _builder(kind)
    model = b.model(b.quant(_rows(b), 0.25, 4, 1))
    node = only(after(model, "find_grids"), "lookup")
    assert node.attrs["table_grid"] == Grid.signed(4)
    np.testing.assert_array_equal(node.attrs["table"], np.clip(np.rint(TABLE / 0.25), -8, 7))
    numbers = np.array([6, 0, 3, 3])
    np.testing.assert_array_equal(
        _scores(model, numbers), (np.clip(np.rint(TABLE / 0.25), -8, 7) * np.float32(0.25))[numbers]
    )


def test_the_input_holds_numbers_of_rows() -> None:
    b = _builder()
    program = bitlens.compile(b.model(b.quant(_rows(b), 0.25, 4, 1)))
    assert program.graph.value("image").grid == Grid.span(0, 6)
    with pytest.raises(ValueError, match=r"^image: every integer must be on the grid 0\.\.6, not 7$"):
        program.run(np.full((1, 1, 1, 1), 7))


def test_two_tables_leave_the_rows_of_the_smaller() -> None:
    b = _builder()
    total = b.op("Add", *(b.quant(_rows(b, table), 0.25, 4, 1) for table in (TABLE, TABLE[:4])))
    graph = after(b.model(total), "find_grids")
    assert graph.value("image").grid == Grid.span(0, 3)


def test_operators_of_single_numbers_work_on_the_table() -> None:
    b = _builder()
    x = b.op("Mul", _rows(b), b.constant(np.linspace(0.5, 2, 5)))
    x = b.op("Clip", b.op("Add", x, b.constant([[0.25]])), b.constant(0.0), b.constant(1.0))
    x = b.quant(b.op("Sigmoid", x), 1 / 16, 4)
    graph = after(b.model(x), "lower_lookups")
    assert [node.op for node in graph] == ["lookup"]
    wanted = 1 / (1 + np.exp(-np.clip(TABLE * np.linspace(0.5, 2, 5) + 0.25, 0, 1)))
    np.testing.assert_array_equal(only(graph, "lookup").attrs["table"], np.rint(wanted * 16))


def test_readers_of_one_lookup_have_a_table_each() -> None:
    b = _builder()
    rows = _rows(b)
    first, second = b.quant(rows, 0.5, 2, 1), b.quant(b.op("Relu", rows), 1 / 3, 2)
    graph = after(b.model(first, second), "lower_lookups")
    tables = [node.attrs["table"].max() for node in graph if node.op == "lookup"]
    assert [node.op for node in graph] == ["lookup", "lookup"]
    assert tables == [1, 3]


def test_an_operator_of_a_row_with_itself_works_on_the_table() -> None:
    b = _builder()
    rows = _rows(b)
    model = b.model(b.quant(b.op("Mul", rows, rows), 0.125, 5))
    np.testing.assert_array_equal(
        _scores(model, np.arange(7)), np.clip(np.rint(TABLE * TABLE / np.float32(0.125)), 0, 31) * 0.125
    )


def test_a_quantized_table_needs_no_quantizer_behind_it() -> None:
    b = _builder()
    table = b.quant(b.constant(TABLE), np.linspace(0.1, 0.5, 5).reshape(1, 5), 3, 1, 1)
    rows = b.op("Gather", table, "image")
    graph = after(b.model(rows), "find_grids")
    assert only(graph, "lookup").attrs["table_grid"] == Grid.narrow(3)
    np.testing.assert_array_equal(graph.value(graph.outputs[0]).scale, np.linspace(0.1, 0.5, 5, dtype=np.float32))


def test_a_table_of_one_row_and_of_one_column() -> None:
    for shape in ((1, 5), (7, 1), (1, 1)):
        b = _builder()
        model = b.model(b.quant(_rows(b, TABLE[: shape[0], : shape[1]]), 0.25, 4, 1))
        assert _scores(model, np.zeros(3, np.int64)).shape == (3, shape[1])


@given(
    st.integers(1, 300),
    st.integers(1, 140),
    st.sampled_from([1, 2, 3, 7, 8, 9, 12, 16]),
    st.booleans(),
    st.integers(0, 1 << 30),
)
@settings(deadline=None, max_examples=30)
def test_scores_of_words_are_onnx_runtimes(rows: int, columns: int, bits: int, signed: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = rng.normal(0, 1, (rows, columns)).astype(np.float32)
    b = _builder()
    integers = np.clip(np.rint(table * 2**bits / 4), -(2 ** (bits - 1)) if signed else 0, 2 ** (bits - signed) - 1)
    row = b.op("Gather", b.quant(b.constant(integers / 8), 1 / 8, max(2, bits), int(signed)), "image")
    numbers = rng.integers(0, rows, 4)
    weights = rng.integers(-9, 10, (3, columns))
    model = b.model(b.op("Gemm", row, b.weights(weights), transB=1))
    plain = _builder()
    row = plain.op("Gather", plain.constant(integers / 8), "image")
    wanted = onnx_runtime.evaluate(
        plain.model(plain.op("Gemm", row, plain.constant(weights * 0.25), transB=1)), image=numbers
    )
    np.testing.assert_allclose(_scores(model, numbers), wanted, rtol=1e-6, atol=1e-5)


def _constant_of_a_sample() -> onnx.ModelProto:
    b = _builder()
    return b.model(b.quant(b.op("Add", _rows(b), b.constant(TABLE)), 0.25, 4, 1))


def _vector_of_rows() -> onnx.ModelProto:
    b = ModelBuilder(("N",), TensorProto.INT64)
    numbers = b.op("Reshape", "image", b.constant([-1, 1], np.int64))
    return b.model(b.quant(b.op("Gather", b.constant(TABLE), numbers, name="words"), 0.25, 4, 1))


def _wide() -> onnx.ModelProto:
    b = _builder()
    return b.model(b.quant(_rows(b), 2.0**-20, 20, 1))


def _per_row() -> onnx.ModelProto:
    b = _builder()
    table = b.quant(b.constant(TABLE), np.linspace(0.1, 0.5, 7).reshape(7, 1), 3, 1, 1)
    return b.model(b.op("Gather", table, "image", name="words"))


def _axis() -> onnx.ModelProto:
    b = _builder()
    return b.model(b.quant(_rows(b, axis=1), 0.25, 4, 1))


def _float() -> onnx.ModelProto:
    b = _builder()
    return b.model(_rows(b))


def _signed() -> onnx.ModelProto:
    b = ModelBuilder(("N", 1))
    numbers = b.op("Cast", b.quant("image", 1.0, 4, 1), to=TensorProto.INT64)
    numbers = b.op("Reshape", numbers, b.constant([-1], np.int64))
    return b.model(b.quant(b.op("Gather", b.constant(TABLE), numbers, name="words"), 0.25, 4, 1))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (_float, "words: table must be quantized, not float; put a quantizer behind the lookup"),
        (_constant_of_a_sample, "words: table must be quantized, not float; put a quantizer behind the lookup"),
        (_wide, "words.row: table must have at most 16 bits, not 20; use fewer bits"),
        (_per_row, "words: scale of the table must be one number or one per column, not one per row"),
        (
            _axis,
            "words.row: Gather must take rows of a matrix by one number a sample, not along axis 1 of (7, 5) by (None,); "
            "export one step with numbers (N,)",
        ),
    ],
)
def test_refusals(make: object, sentence: str) -> None:
    assert_refused(make(), sentence)  # type: ignore[operator]


@pytest.mark.parametrize("make", [_vector_of_rows, _signed])
def test_other_numbers_are_refused(make: object) -> None:
    with pytest.raises(CompileError):
        bitlens.compile(make())  # type: ignore[operator]


def test_a_graph_without_lookups_stays() -> None:
    b = ModelBuilder(("N", 3))
    graph: Graph = after(b.model(b.quant("image", 1.0, 8)), "lower_lookups")
    assert [node.op for node in graph] == ["Quant"]
