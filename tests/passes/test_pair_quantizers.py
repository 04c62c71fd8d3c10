# SPDX-License-Identifier: Apache-2.0
"""QCDQ and QOperator models: compiled, and equal to ONNX Runtime but for ties."""

import re

import numpy as np
import onnx
import pytest
from onnx import TensorProto

import bitlens
from bitlens.graph.spec import CompileError
from onnx_runtime import evaluate
from qonnx_models import ModelBuilder
from stages import assert_refused


class Codes(ModelBuilder):
    """Models in ONNX's own quantization."""

    def codes(self, x: str, scale: float, zero: int = 0, kind: type = np.uint8, **attrs: int) -> str:
        return self.op("QuantizeLinear", x, self.constant(scale), self.constant(zero, kind), **attrs)

    def real(self, x: str, scale: object, zero: object = 0, kind: type = np.uint8, **attrs: int) -> str:
        return self.op("DequantizeLinear", x, self.constant(scale), self.constant(zero, kind), **attrs)

    def int8_weights(self, shape: tuple[int, ...], rng: np.random.Generator, *, per_channel: bool = True) -> str:
        integers = rng.integers(-127, 128, shape)
        scale = rng.uniform(0.001, 0.01, shape[0] if per_channel else ()).astype(np.float32)
        zero = np.zeros(scale.shape, np.int8)
        return self.real(self.constant(integers, np.int8), scale, zero, np.int8, **({"axis": 0} if per_channel else {}))


def assert_equal(model: onnx.ModelProto, x: np.ndarray, unit: float, bytes_in: bool = False) -> None:
    """Golden and engine are one; ONNX Runtime differs at most at ties, by one unit, in one of a thousand."""
    program = bitlens.compile(model)
    images = x if bytes_in else np.rint(x * 255).astype(np.uint8)
    images = images.transpose(0, 2, 3, 1)
    (golden,) = program.run(images).values()
    (engine,) = bitlens.Session(program).run(images).values()
    assert np.array_equal(golden, engine)
    (real,) = bitlens.Session(program).run(images, real=True).values()
    wanted = evaluate(model, image=x).astype(np.float64)
    wanted = wanted.transpose(0, 2, 3, 1) if wanted.ndim == 4 else wanted.reshape(len(wanted), 1, 1, -1)
    off = np.abs(real.reshape(wanted.shape) - wanted) / unit
    assert off.max() < 1.01
    assert (off > 0.01).mean() < 1e-3


def image(seed: int, shape: tuple[int, ...] = (2, 3, 8, 8)) -> np.ndarray:
    return (np.random.default_rng(seed).integers(0, 256, shape) / 255).astype(np.float32)


@pytest.mark.parametrize("zero", [0, 7, 128])
def test_quantize_dequantize_is_one_quantizer(zero: int) -> None:
    rng = np.random.default_rng(zero)
    b = Codes(("N", 3, 8, 8))
    x = b.fake("image", 1 / 255)
    x = b.op("Conv", x, b.int8_weights((5, 3, 3, 3), rng), b.constant(rng.normal(0, 0.1, 5)), pads=[1, 1, 1, 1])
    x = b.fake(b.op("Relu", x) if zero == 0 else x, 0.02, zero=zero)
    x = b.op("Conv", x, b.int8_weights((4, 5, 1, 1), rng, per_channel=False))
    model = b.model(b.fake(x, 0.03, np.int8))
    assert_equal(model, image(0), 0.03)
    assert [node.op for node in bitlens.compile(model).graph if node.op == "conv"] == ["conv", "conv"]


def test_clipped_codes_are_fewer_bits() -> None:
    b = Codes(("N", 3, 8, 8))
    rng = np.random.default_rng(0)
    x = b.op("Conv", b.fake("image", 1 / 255), b.int8_weights((4, 3, 3, 3), rng))
    codes = b.codes(x, 0.1)
    x = b.real(b.op("Clip", codes, b.constant(0, np.uint8), b.constant(3, np.uint8)), 0.1)
    program = bitlens.compile(b.model(x))
    value = program.graph.value(program.graph.outputs[0])
    assert str(value.grid) == "unsigned 2"
    assert_equal(b.model(x), image(1), 0.1)


def test_weights_may_be_quantized_and_clipped_in_the_file() -> None:
    b = Codes(("N", 3, 4, 4))
    weights = b.codes(b.constant(np.random.default_rng(0).normal(0, 0.2, (4, 3, 1, 1))), 0.1, 0, np.int8)
    weights = b.op("Clip", weights, b.constant(-1, np.int8), b.constant(1, np.int8))
    x = b.op("Conv", b.fake("image", 1 / 255), b.real(weights, 0.1, 0, np.int8))
    program = bitlens.compile(b.model(b.fake(x, 0.01, np.int8)))
    assert str(program.graph.nodes[0].attrs["weight_grid"]) == "ternary"
    assert_equal(b.model(b.fake(x, 0.01, np.int8)), image(2, (2, 3, 4, 4)), 0.01)


def test_codes_may_be_pooled_reshaped_and_joined() -> None:
    b = Codes(("N", 3, 8, 8))
    rng = np.random.default_rng(3)
    first = b.fake("image", 1 / 255)
    branches = [b.codes(b.op("Conv", first, b.int8_weights((4, 3, 1, 1), rng)), 0.05, 100) for _ in range(2)]
    joined = b.op("MaxPool", b.op("Concat", *branches, axis=1), kernel_shape=[2, 2], strides=[2, 2])
    flat = b.real(b.op("Reshape", joined, b.constant([0, -1], np.int64)), 0.05, 100)
    weights = b.op("Transpose", b.int8_weights((5, 128), rng), perm=[1, 0])
    model = b.model(b.fake(b.op("MatMul", flat, weights), 0.1, zero=128))
    assert_equal(model, image(3), 0.1)


def test_codes_that_come_in_and_go_out() -> None:
    b = Codes(("N", 3, 5, 5), TensorProto.UINT8)
    rng = np.random.default_rng(4)
    x = b.op("Conv", b.real("image", 0.02, 114), b.int8_weights((4, 3, 3, 3), rng))
    model = b.model(b.codes(x, 0.05, 3))
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.UINT8
    x = np.random.default_rng(0).integers(0, 256, (2, 3, 5, 5)).astype(np.uint8)
    assert_equal(model, x, 1.0, bytes_in=True)


def byte_weights(b: Codes, shape: tuple[int, ...], rng: np.random.Generator, dtype: type) -> tuple[str, int]:
    """Name and zero point of weights from -127 to 127, as codes around 128; if signed from -64 to 64.

    With wider signed weights ONNX Runtime is no peer: on x86 without VNNI it adds two products uint8 * int8 in 16 bits.
    """
    reach, zero = (127, 128) if dtype is np.uint8 else (64, 0)
    return b.constant(rng.integers(-reach, reach + 1, shape) + zero, dtype), zero


def operands(b: Codes, weights: tuple[str, int], scale: np.ndarray | float, dtype: type) -> list[str]:
    """Scale and zero point of pixels, then weights with theirs."""
    name, zero = weights
    zeros = b.constant(np.full(np.shape(scale), zero), dtype)
    return [b.constant(1 / 255), b.constant(0, np.uint8), name, b.constant(scale), zeros]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize("groups", [1, 3])
def test_qlinear_conv(groups: int, dtype: type) -> None:
    b = Codes(("N", 3, 7, 7))
    rng = np.random.default_rng(5)
    weights = byte_weights(b, (6, 3 // groups, 3, 3), rng, dtype)
    given = operands(b, weights, rng.uniform(0.001, 0.01, 6).astype(np.float32), dtype)
    ends = [b.constant(0.03), b.constant(100, np.uint8)]
    x = b.codes("image", 1 / 255)
    x = b.op("QLinearConv", x, *given, *ends, group=groups, pads=[1, 0, 2, 1], strides=[2, 1])
    assert_equal(b.model(b.real(x, 0.03, 100)), image(5, (2, 3, 7, 7)), 0.03)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_qlinear_matmul(dtype: type) -> None:
    b = Codes(("N", 3, 2, 2))
    flat = b.op("Flatten", b.codes("image", 1 / 255))
    given = operands(b, byte_weights(b, (12, 5), np.random.default_rng(6), dtype), 0.004, dtype)
    x = b.op("QLinearMatMul", flat, *given, b.constant(0.02), b.constant(128, np.uint8))
    assert_equal(b.model(b.real(x, 0.02, 128)), image(6, (2, 3, 2, 2)), 0.02)


def test_integer_products() -> None:
    b = Codes(("N", 3, 6, 6), TensorProto.UINT8)
    rng = np.random.default_rng(7)
    weights = b.constant(rng.integers(0, 256, (4, 3, 3, 3)), np.uint8)
    x = b.op("ConvInteger", "image", weights, b.constant(5, np.uint8), b.constant(128, np.uint8), pads=[1, 1, 1, 1])
    x = b.op("Mul", b.op("Cast", x, to=TensorProto.FLOAT), b.constant(1e-4))
    model = b.model(b.fake(x, 0.05, np.int8))
    x = np.random.default_rng(0).integers(0, 256, (2, 3, 6, 6)).astype(np.uint8)
    assert_equal(model, x, 0.05, bytes_in=True)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda b: b.real(b.op("Relu", b.codes("image", 1 / 255), name="r"), 0.1),
            "dequantizelinear_2: input of DequantizeLinear must come from QuantizeLinear, not from Relu (r); quantize in front of it",
        ),
        (
            lambda b: b.real(b.codes("image", 1 / 255, 3), 1 / 255, 4),
            "dequantizelinear_1: zero point must be that of quantizelinear_0, 3, not 4",
        ),
        (
            lambda b: b.real("image", 0.1),
            "dequantizelinear_0: input of DequantizeLinear must be quantized, not float (image); quantize it first",
        ),
        (
            lambda b: b.real(
                b.op("Pad", b.codes("image", 1 / 255, 3), b.constant([0] * 8, np.int64), name="p"), 0.1, 3
            ),
            "p: padding of codes must be their zero point 3, not 0; pad with it",
        ),
    ],
)
def test_refusals(make, sentence: str) -> None:
    b = Codes(("N", 3, 4, 4))
    assert_refused(b.model(make(b)), sentence)


def test_zero_points_per_channel_of_activations_are_refused() -> None:
    b = Codes(("N", 2, 4, 4))
    zero = b.constant([1, 2], np.uint8)
    scale = b.constant([0.1, 0.1])
    codes = b.op("QuantizeLinear", b.fake("image", 1 / 255), scale, zero, axis=1, name="q")
    model = b.model(b.op("DequantizeLinear", codes, scale, zero, axis=1, name="d"))
    with pytest.raises(CompileError, match=re.escape("d: zero point must be one number, not one per channel")):
        bitlens.compile(model)


@pytest.mark.parametrize("scale", [-1.0, 0.0, float("inf"), float("nan")])
def test_scales_that_are_not_positive_are_refused(scale: float) -> None:
    """A negative unit would turn the maxima of a pool into minima."""
    b = Codes(("N", 1, 4, 4))
    codes = b.codes("image", 1 / 255)
    x = b.op("DequantizeLinear", codes, b.constant(scale), b.constant(0, np.uint8), name="d")
    x = b.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    with pytest.raises(CompileError, match=r"^d: scale must be positive, not (-1.0|0.0|inf|nan); fold the sign into"):
        bitlens.compile(b.model(b.op("Conv", x, b.int8_weights((1, 1, 1, 1), np.random.default_rng(0)))))


def test_a_negative_scale_of_weights_is_refused() -> None:
    b = Codes(("N", 1, 4, 4))
    weights = b.real(b.constant(np.full((1, 1, 1, 1), 2), np.int8), -1.0, 0, np.int8)
    x = b.op("Conv", b.fake("image", 1 / 255), weights, name="c")
    x = b.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    sentence = "c: scale of the weights must be positive, not -1.0; fold the sign into the integers"
    assert_refused(b.model(x), sentence)
