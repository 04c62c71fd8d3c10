# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

import bitlens
from bitlens.core.grid import Grid
from qonnx_models import ModelBuilder
from stages import after, assert_refused, only


def _weight_grid(bits: int, integers: object, zero_point: float = 0.0, narrow: int = 1) -> Grid:
    b = ModelBuilder(("N", 2))
    real = np.asarray(integers, float) - zero_point
    weights = b.quant(b.constant(real), 1, bits, 1, narrow, zero_point)
    graph = after(b.model(b.op("Gemm", b.image(), weights, transB=1)), "lower_products")
    found = only(graph, "conv").attrs["weight_grid"]
    assert isinstance(found, Grid)
    return found


def test_weights_are_stored_on_the_smallest_true_grid() -> None:
    assert _weight_grid(4, [[1, 2]]) == Grid.narrow(4)
    assert _weight_grid(4, [[1, -8]], narrow=0) == Grid.signed(4)
    assert _weight_grid(3, [[3, -1]]) == Grid.odd(2)  # QONNX's spelling of an odd grid
    assert _weight_grid(2, [[1, -1]]) == Grid.bipolar()
    assert _weight_grid(2, [[1, 0]]) == Grid.ternary()
    assert _weight_grid(9, [[255, -1]]) == Grid.odd(8)
    assert _weight_grid(4, [[0, 5]], zero_point=-0.5, narrow=0) == Grid.odd(4)
    assert _weight_grid(4, [[0, 5]], zero_point=-2.0, narrow=0) == Grid.narrow(4)  # 2 and 7


def test_a_product_behind_a_flatten_is_a_convolution_of_the_whole_map() -> None:
    b = ModelBuilder(("N", 2, 3, 4))
    integers = np.arange(48).reshape(2, 24)
    flat = b.op("Flatten", b.image())
    program = bitlens.compile(b.model(b.op("Gemm", flat, b.weights(integers), transB=1, name="fc")))
    (node,) = program.graph
    assert node.attrs["weights"].shape == (2, 3, 4, 2)
    assert np.array_equal(node.attrs["weights"].transpose(0, 3, 1, 2).reshape(2, 24), integers)
    x = np.random.default_rng(0).integers(0, 256, (3, 3, 4, 2))
    wanted = x.transpose(0, 3, 1, 2).reshape(3, 24) @ integers.T
    (found,) = program.run(x).values()
    assert np.array_equal(found[:, 0, 0], wanted)


@pytest.mark.parametrize("order", ["Gemm", "transposed", "MatMul"])
def test_both_orders_of_weights(order: str) -> None:
    b = ModelBuilder(("N", 3))
    integers = np.array([[1, 2, 3], [4, 5, 6]])
    if order == "Gemm":
        y = b.op("Gemm", b.image(), b.weights(integers), transB=1)
    elif order == "transposed":
        y = b.op("MatMul", b.image(), b.op("Transpose", b.weights(integers)))
    else:
        y = b.op("MatMul", b.image(), b.weights(integers.T))
    (node,) = bitlens.compile(b.model(y)).graph
    assert node.attrs["weights"][:, 0, 0].tolist() == integers.tolist()


@pytest.mark.parametrize(
    ("trans", "axis"), [(1, 0), (0, 1)]
)  # fmt: skip
def test_a_scale_per_output(trans: int, axis: int) -> None:
    b = ModelBuilder(("N", 3))
    scale = np.expand_dims(np.array([0.5, 2.0], np.float32), 1 - axis)
    weights = b.quant(b.constant(np.ones((2, 3) if trans else (3, 2))), scale, 8, 1, 1)
    node = only(after(b.model(b.op("Gemm", b.image(), weights, transB=trans)), "lower_products"), "conv")
    assert node.attrs["weight_scale"].tolist() == [0.5, 2]


def _conv_of(make: object) -> object:
    b = ModelBuilder(("N", 2, 4, 4))
    return b.model(b.op("Conv", b.image(), make(b), name="conv"))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda b: b.constant(np.full((2, 2, 1, 1), 0.5)),
         "conv: weights must be quantized, not float (c3); put a Quant or BipolarQuant operator on them"),
        (lambda b: b.quant(b.constant(np.full((2, 2, 1, 1), 40000.0)), 1, 17, 1, name="w"),
         "conv: weights must be integers within -32768..32767, not 40000..40000; use fewer bits"),
        (lambda b: b.quant(b.constant(np.ones((2, 2, 1, 1))), np.array([1, 2]).reshape(1, 2, 1, 1), 4, 1, name="w"),
         "conv: weight scale must be one number or one per output channel, not of shape (1, 2, 1, 1); "
         "quantize per tensor or per output channel"),
    ],
)  # fmt: skip
def test_weights_without_integers_are_refused(make: object, sentence: str) -> None:
    assert_refused(_conv_of(make), sentence)  # type: ignore[arg-type]


def test_products_of_two_computed_tensors_are_refused() -> None:
    b = ModelBuilder(("N", 3, 4, 4))
    x = b.image()
    y = b.op("Transpose", b.op("Flatten", x), perm=[1, 0])
    model = b.model(b.op("MatMul", b.op("Flatten", x), y, name="gram"))
    assert_refused(
        model, "gram: weights must be a constant, not computed (transpose_2); freeze the model before export"
    )


@pytest.mark.parametrize(("alpha", "beta"), [(0.3, 1.0), (1.0, 0.0), (2.0, -0.5)])
def test_factors_of_a_gemm_are_units_and_biases(alpha: float, beta: float) -> None:
    b = ModelBuilder(("N", 3))
    weights, bias = np.array([[1, -2, 3], [0, 4, -1]]), np.array([1.5, -0.25], np.float32)
    x = b.op("Gemm", b.image(), b.weights(weights), b.constant(bias), transB=1, alpha=alpha, beta=beta, name="fc")
    image = np.array([[1, 2, 3], [250, 0, 7]], np.uint8)
    (found,) = bitlens.Session(bitlens.compile(b.model(x))).run(image, real=True).values()
    wanted = alpha * ((image / 255) @ (0.25 * weights).T) + beta * bias
    np.testing.assert_allclose(found.reshape(2, 2), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.0, -1.0])
def test_factors_that_turn_the_sign_are_refused(alpha: float) -> None:
    b = ModelBuilder(("N", 3))
    model = b.model(b.op("Gemm", b.image(), b.weights(np.ones((1, 3))), transB=1, alpha=alpha, name="fc"))
    assert_refused(
        model,
        f"fc: Gemm must have transA 0 and alpha above 0, not 0 and {alpha:g}; transpose the data, or fold the factor into the "
        "weights",
    )


@pytest.mark.parametrize(("axis", "rows"), [(2, 8), (3, 2)])
def test_a_map_flattened_in_rows_is_refused(axis: int, rows: int) -> None:
    b = ModelBuilder(("N", 4, 2, 2))
    columns = 16 // (4 if axis == 2 else 8)
    flat = b.op("Flatten", b.image(), axis=axis)
    model = b.model(b.op("Gemm", flat, b.weights(np.ones((5, columns))), transB=1, name="fc"))
    assert_refused(
        model,
        f"fc: map in front must be flattened whole, one row an image, not from (None, 4, 2, 2) to (None, {columns}); "
        "flatten from axis 1",
    )


def test_weights_in_front_of_rows_are_refused() -> None:
    b = ModelBuilder(("N", 3))
    model = b.model(b.op("Gemm", b.weights(np.ones((2, 3))), b.image(), transB=1, name="fc"))
    assert_refused(model, "fc: weights must be the second operand, not the first; transpose the product")


def test_a_bias_of_another_size_is_refused() -> None:
    b = ModelBuilder(("N", 3))
    model = b.model(b.op("Gemm", b.image(), b.weights(np.ones((2, 3))), b.constant([1, 2, 3]), transB=1, name="fc"))
    assert_refused(model, "fc: bias must have 2 numbers, one an output, not shape (3,)")


@pytest.mark.parametrize("shape", [(2, 1), (1, 2, 1), (3, 1)])
def test_a_bias_of_one_number_a_row_is_refused(shape: tuple[int, ...]) -> None:
    b = ModelBuilder(("N", 3))
    bias = b.constant(np.arange(np.prod(shape)).reshape(shape))
    model = b.model(b.op("Gemm", b.image(), b.weights(np.ones((2, 3))), bias, transB=1, name="fc"))
    assert_refused(model, f"fc: bias must have 2 numbers, one an output, not shape {shape}")


@pytest.mark.parametrize("shape", [(), (1,), (2,), (1, 2), (1, 1)])
def test_a_bias_may_be_one_number_a_column(shape: tuple[int, ...]) -> None:
    b = ModelBuilder(("N", 3))
    bias = np.arange(1, 1 + np.prod(shape, dtype=int)).reshape(shape)
    program = bitlens.compile(
        b.model(b.op("Gemm", b.image(), b.weights(np.ones((2, 3))), b.constant(bias), transB=1, name="fc"))
    )
    (zero,) = bitlens.Session(program).run(np.zeros((2, 1, 1, 3), np.uint8), real=True).values()
    assert np.array_equal(zero.reshape(2, 2), np.broadcast_to(bias, (2, 2)))


def test_a_flatten_of_a_symbolic_map_is_refused() -> None:
    b = ModelBuilder(("N", 1, "H", "W"))
    flat = b.op("Reshape", b.image(), b.constant([-1, 16], np.int64), name="flat")
    model = b.model(b.op("Gemm", flat, b.weights(np.ones((2, 16))), transB=1, name="fc"))
    assert_refused(
        model,
        "fc: map in front must have a fixed height and width, not (None, 1, None, None); export with a fixed size",
    )
