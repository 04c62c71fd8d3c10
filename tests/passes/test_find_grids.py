# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

import bitlens
from bitlens.core.grid import Grid
from bitlens.core.reference import Add
from exactness import assert_exact
from qonnx_models import ModelBuilder
from stages import after, assert_refused, only


def test_sums_have_the_product_of_the_units() -> None:
    b = ModelBuilder(("N", 2))
    y = b.op("Gemm", b.quant("image", 0.1, 2), b.weights([[1, -2]], scale=0.3), transB=1)
    graph = after(b.model(y), "find_grids")
    assert graph.value(y).scale == np.float32(0.1) * np.float32(0.3)
    assert graph.value(y).grid == Grid(-6, 3)


def test_a_bias_in_whole_units_joins_the_sum() -> None:
    b = ModelBuilder(("N", 2))
    unit = np.float32(0.1) * np.float32(0.3)
    bias = b.quant(b.constant([5 * unit, -7 * unit]), unit, 32, 1, 1)
    y = b.op("Gemm", b.quant("image", 0.1, 2), b.weights(np.ones((2, 2)), scale=0.3), bias, transB=1)
    graph = after(b.model(y), "find_grids")
    assert only(graph, "conv").attrs["bias"].tolist() == [5, -7]
    assert graph.value(y).grid == Grid(-7, 11)


@pytest.mark.parametrize("quantized", [False, True])
def test_another_bias_becomes_a_chain(quantized: bool) -> None:
    b = ModelBuilder(("N", 2))
    bias = b.constant([0.25, 0.5])
    bias = b.quant(bias, 0.25, 8, 1) if quantized else bias
    y = b.op("Gemm", b.quant("image", 0.1, 2), b.weights(np.ones((2, 2)), scale=0.3), bias, transB=1)
    graph = after(b.model(y), "find_grids")
    assert only(graph, "conv").attrs["bias"] is None
    (add,) = only(graph, "chain").attrs["chain"]
    assert isinstance(add, Add)
    assert np.asarray(add.values).tolist() == [0.25, 0.5]
    assert graph.value(y).grid is None


def test_a_depthwise_product_keeps_units_per_channel() -> None:
    b = ModelBuilder(("N", 2, 3, 3))
    scale = np.array([0.5, 2.0], np.float32).reshape(1, 2, 1, 1)
    x = b.quant(b.image(), scale, 4)
    y = b.conv(x, np.ones((4, 1, 1, 1)), group=2)
    assert after(b.model(y), "find_grids").value(y).scale.tolist() == [0.125, 0.125, 0.5, 0.5]


def test_padding_widens_a_sum_without_zero() -> None:
    b = ModelBuilder(("N", 1, 3, 3))
    x = b.quant(b.image(), 0.25, 2, 0, 0, -3.0)  # integers 3..6
    y = b.conv(x, np.ones((1, 1, 3, 3)), pads=[1, 1, 1, 1])
    assert after(b.model(y), "find_grids").value(y).grid == Grid(0, 54)


def test_padding_of_a_bipolar_map_is_exact() -> None:
    b = ModelBuilder(("N", 1, 3, 3))
    y = b.conv(b.bipolar(b.op("Sub", b.image(), b.constant(0.5))), np.ones((1, 1, 3, 3)), pads=[1, 1, 1, 1])
    program = bitlens.compile(b.model(y))  # verified against the model
    assert sorted(set(program.run(np.full((1, 3, 3, 1), 255))[y].ravel().tolist())) == [4, 6, 9]


def test_real_values_in_front_of_a_layer_are_refused() -> None:
    b = ModelBuilder()
    x = b.op("Relu", b.conv(b.image(), np.ones((2, 3, 1, 1))))
    model = b.model(b.conv(x, np.ones((1, 2, 1, 1)), name="second"))
    assert_refused(
        model,
        f"second: input must be integers, not real values ({x}); put a quantizer before it, "
        "or run it in float on the host with --float-islands",
    )


def test_real_values_in_an_average_are_refused() -> None:
    b = ModelBuilder()
    x = b.op("Relu", b.conv(b.image(), np.ones((2, 3, 1, 1))))
    model = b.model(b.quant(b.op("GlobalAveragePool", x, name="mean"), 1, 4))
    assert_refused(
        model,
        f"mean: input must be integers, not real values ({x}); put a quantizer before it, "
        "or run it in float on the host with --float-islands",
    )


def test_a_float_sum_is_refused() -> None:
    b = ModelBuilder()
    x = b.op("Relu", b.conv(b.image(), np.ones((3, 3, 1, 1))))
    model = b.model(b.quant(b.op("Add", x, b.image(), name="sum"), 1, 4))
    assert_refused(
        model,
        f"sum: input must be integers, not real values ({x}); "
        "quantize both branches onto one shared grid before the sum, or allow it (--allow-requantize), "
        "or run it in float on the host with --float-islands",
    )


@pytest.mark.parametrize(
    ("op", "attrs", "advice"),
    [
        ("Add", {}, "quantize both branches onto one shared grid before the sum, or allow it (--allow-requantize)"),
        (
            "Concat",
            {"axis": 1},
            "quantize every branch with one shared scale before the concat, or allow it (--allow-requantize)",
        ),
    ],
)
def test_unequal_scales_are_refused(op: str, attrs: dict[str, int], advice: str) -> None:
    b = ModelBuilder()
    parts = [b.quant(b.image(), scale, 8, 1) for scale in (0.5, 0.3)]
    model = b.model(b.op(op, *parts, name="join", **attrs))
    assert_refused(
        model,
        "join: scales of the operands must be equal or whole multiples of the smallest, "
        f"not 0.5 and 0.300000012; {advice}",
    )


def test_scales_per_channel_in_front_of_a_full_product_are_refused() -> None:
    b = ModelBuilder()
    x = b.quant(b.image(), np.array([1, 2, 3]).reshape(1, 3, 1, 1), 4)
    assert_refused(
        b.model(b.conv(x, np.ones((1, 3, 1, 1)))),
        "conv: scale of the input must be one number, not one per channel; quantize it per tensor, or allow it (--allow-requantize)",
    )


def test_sums_that_may_overflow_are_refused() -> None:
    b = ModelBuilder(("N", 2048))
    x = b.quant(b.image(), 2**-14, 14)
    model = b.model(b.op("Gemm", x, b.weights(np.full((1, 2048), 127)), transB=1, name="fc"))
    assert_refused(
        model,
        "fc: sums must stay within 32 bits, not reach [0, 4261152768]; use fewer bits or fewer channels",
    )


def test_sums_as_an_input_are_refused() -> None:
    b = ModelBuilder()
    x = b.conv(b.image(), np.full((2, 3, 3, 3), 120))
    assert_refused(
        b.model(b.conv(x, np.ones((1, 2, 3, 3)), name="second")),
        "second: input must have at most 16 bits, not 20; quantize it to fewer bits, or allow it (--allow-requantize)",
    )


@pytest.mark.parametrize(("bits", "signed"), [(9, 0), (10, 1), (12, 1), (16, 0), (16, 1)])
@pytest.mark.parametrize("kind", ["plain", "depthwise", "transposed"])
def test_windows_of_wide_activations_are_exact(bits: int, signed: int, kind: str) -> None:
    rng = np.random.default_rng(bits)
    b = ModelBuilder(("N", 2, 7, 6))
    x = b.conv(b.image(), rng.integers(-99, 100, (3, 2, 3, 3)), pads=[1, 1, 1, 1])
    x = b.quant(x, 2.0 ** (6 - bits) * 9, bits, signed)
    if kind == "transposed":
        x = b.op(
            "ConvTranspose", x, b.weights(rng.integers(-127, 128, (3, 4, 3, 2))), strides=[2, 2], pads=[1, 0, 0, 1]
        )
    else:
        shape, group = ((3, 1, 3, 3), 3) if kind == "depthwise" else ((4, 3, 3, 3), 1)
        x = b.conv(x, rng.integers(-127, 128, shape), pads=[1, 0, 2, 1], strides=[1, 2], group=group)
    assert_exact(b.model(x, b.quant(x, 400.0 * 2.0 ** (6 - bits), bits, 1)))


def test_a_sum_of_two_bytes_needs_no_quantizer_in_front_of_a_window() -> None:
    b = ModelBuilder(("N", 2, 5, 5))
    x = b.quant(b.conv(b.image(), np.ones((2, 2, 1, 1))), 0.01, 8, 1)
    total = b.op("Add", x, b.quant(b.image(), 0.01, 8, 1))
    assert_exact(b.model(b.conv(total, np.arange(-18, 18).reshape(2, 2, 3, 3))))


def test_units_that_leave_float32_are_refused() -> None:
    b = ModelBuilder(("N", 2))
    weights = b.quant(b.constant(np.full((1, 2), 1e30)), 1e30, 8, 1)
    y = b.op("Gemm", b.quant("image", 1e30, 2), weights, name="fc", transB=1)
    assert_refused(b.model(y), "fc: unit of the sums must be finite, not inf; use smaller scales")


def test_inputs_that_leave_float32_are_refused() -> None:
    b = ModelBuilder(("N", 1))
    y = b.op("Gemm", b.quant("image", 1e37, 8, name="act"), b.weights([[1]], scale=1e-37), transB=1)
    assert_refused(b.model(y), "act: numbers to quantize must be finite, not inf or nan; repair the model")
