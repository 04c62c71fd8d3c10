# SPDX-License-Identifier: Apache-2.0
"""Partially quantized models: float layers in front of, between and behind quantized ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from bitlens.qonnx.dialect import DOMAIN
from qonnx_models import ModelBuilder

__all__ = ["ISLANDS", "Nets", "float_ends", "quantized_chain"]

Layers = list[tuple[str, list[str]]]  # "engine" or "host", and what it computes


class Nets(ModelBuilder):
    """Layers of random weights, quantized and float."""

    def __init__(self, shape: Sequence[int | str | None] = ("N", 3, 8, 8)) -> None:
        super().__init__(shape)
        self.rng = np.random.default_rng(0)

    def layer(
        self, x: str, shape: tuple[int, ...], name: str, *, scale: float = 0.5, bits: int = 4, **attrs: Any
    ) -> str:
        """A quantized convolution, ReLU and quantizer."""
        y = self.op("Relu", self.sums(x, shape, name, **attrs), name=f"{name}_relu")
        return self.quant(y, scale, bits, name=f"{name}_quant")

    def sums(self, x: str, shape: tuple[int, ...], name: str, **attrs: Any) -> str:
        return self.conv(x, self.rng.integers(-3, 4, shape), name=name, **attrs)

    def biased(self, x: str, shape: tuple[int, ...], name: str, **attrs: Any) -> str:
        bias = self.constant(self.rng.normal(size=shape[0]))
        return self.conv(x, self.rng.integers(-3, 4, shape), bias, name=name, **attrs)

    def float_conv(self, x: str, shape: tuple[int, ...], name: str, **attrs: Any) -> str:
        weights, bias = self.rng.normal(size=shape), self.rng.normal(size=shape[0])
        return self.op("Conv", x, self.constant(weights), self.constant(bias), name=name, **attrs)

    def float_linear(self, x: str, inputs: int, outputs: int, name: str) -> str:
        weights, bias = self.rng.normal(size=(outputs, inputs)), self.rng.normal(size=outputs)
        return self.op("Gemm", x, self.constant(weights), self.constant(bias), transB=1, name=name)

    def qdq(self, x: str, scale: npt.ArrayLike, zero_point: int = 0, name: str = "q") -> str:
        operands = [self.constant(scale), self.constant(zero_point, np.uint8)]
        codes = self.op("QuantizeLinear", x, *operands, name=name)
        return self.op("DequantizeLinear", codes, *operands, name=f"{name}_d")


_SAME = {"pads": [1, 1, 1, 1]}


def float_ends(shape: Sequence[int | str | None] = ("N", 3, 8, 8)) -> onnx.ModelProto:
    """The first and the last layer float, as most nets in the wild have them."""
    b = Nets(shape)
    y = b.quant(b.op("Relu", b.float_conv("image", (4, 3, 3, 3), "first"), name="relu"), 0.1, 4, name="quant")
    y = b.layer(y, (4, 4, 3, 3), "middle", **_SAME)
    y = b.op("Flatten", b.op("GlobalAveragePool", y, name="mean"), name="flat")
    return b.model(b.float_linear(y, 4, 5, "last"))


def quantized_chain() -> onnx.ModelProto:
    """A net without any float layer."""
    b = Nets()
    return b.model(b.sums(b.layer(b.image(), (4, 3, 3, 3), "one"), (2, 4, 3, 3), "two"))


def _float_middle() -> onnx.ModelProto:
    b = Nets()
    y = b.layer(b.image(), (4, 3, 3, 3), "one")
    y = b.quant(b.op("Relu", b.float_conv(y, (4, 4, 3, 3), "two"), name="relu"), 0.1, 4, name="quant")
    return b.model(b.sums(y, (2, 4, 3, 3), "three"))


def _float_residual() -> onnx.ModelProto:
    b = Nets()
    y = b.layer(b.image(), (4, 3, 3, 3), "one", **_SAME)
    z = b.op("Relu", b.biased(y, (4, 4, 3, 3), "two", **_SAME), name="relu")
    y = b.quant(b.op("Add", z, y, name="add"), 0.7, 4, name="quant")
    return b.model(b.sums(y, (2, 4, 3, 3), "three"))


def _other_scales() -> onnx.ModelProto:
    b = Nets()
    y = b.layer(b.image(), (4, 3, 3, 3), "one", **_SAME)
    z = b.layer(y, (4, 4, 3, 3), "two", scale=0.37, **_SAME)
    y = b.quant(b.op("Add", y, z, name="add"), 0.7, 4, name="quant")
    return b.model(b.sums(y, (2, 4, 3, 3), "three"))


def _swish() -> onnx.ModelProto:
    b = Nets()
    y = b.quant(b.float_conv("image", (4, 3, 3, 3), "first"), 0.1, 4, 1, name="quant")
    y = b.batch_norm(b.sums(y, (4, 4, 3, 3), "one"), *np.abs(b.rng.normal(size=(4, 4))))
    y = b.op("Mul", y, b.op("Sigmoid", y, name="sigmoid"), name="swish")
    return b.model(b.sums(b.quant(y, 0.2, 4, 1, name="swish_quant"), (2, 4, 1, 1), "two"))


def _gated() -> onnx.ModelProto:
    b = Nets()
    x = b.image()
    y = b.batch_norm(b.sums(x, (4, 3, 3, 3), "one"), *np.abs(b.rng.normal(size=(4, 4))))
    z = b.op("Sigmoid", b.sums(x, (4, 3, 3, 3), "gate"), name="sigmoid")
    y = b.op("Mul", y, z, name="product")
    return b.model(b.sums(b.quant(y, 0.2, 4, 1, name="quant"), (2, 4, 3, 3), "two"))


def _squeeze_excite() -> onnx.ModelProto:
    b = Nets()
    y = b.layer(b.image(), (4, 3, 3, 3), "one")
    z = b.quant(b.op("GlobalAveragePool", y, name="mean"), 0.1, 8, name="mean_quant")
    z = b.biased(b.layer(z, (2, 4, 1, 1), "down"), (4, 2, 1, 1), "up")
    y = b.quant(b.op("Mul", y, b.op("Sigmoid", z, name="sigmoid"), name="gate"), 0.2, 4, name="quant")
    return b.model(b.sums(y, (2, 4, 3, 3), "two"))


def _two_in_a_row() -> onnx.ModelProto:
    b = Nets()
    y = b.layer(b.image(), (4, 3, 3, 3), "one")
    y = b.quant(b.float_conv(y, (4, 4, 1, 1), "a"), 0.1, 4, 1, name="a_quant")
    y = b.quant(b.float_conv(y, (4, 4, 1, 1), "b"), 0.1, 4, 1, name="b_quant")
    return b.model(b.sums(y, (2, 4, 3, 3), "two"))


def _many_ends() -> onnx.ModelProto:
    """Two outputs of an island, one of a program, one that is integers of an island; an island of two inputs."""
    b = Nets()
    y = b.layer(b.image(), (4, 3, 3, 3), "one", **_SAME)
    z = b.sums(y, (4, 4, 3, 3), "two", **_SAME)
    s = b.op("Mul", z, b.op("Tanh", y, name="tanh"), name="product")
    codes = b.quant(b.op("Relu", s, name="relu"), 0.3, 3, name="codes")
    return b.model(z, codes, s, b.sums(codes, (2, 4, 3, 3), "three"))


def _shared_input() -> onnx.ModelProto:
    """The image goes into a quantizer and into a float layer."""
    b = Nets()
    y = b.sums(b.image(), (4, 3, 3, 3), "one")
    y = b.op("Add", y, b.float_conv("image", (4, 3, 3, 3), "other"), name="add")
    return b.model(b.sums(b.quant(y, 0.3, 4, 1, name="quant"), (2, 4, 3, 3), "two"))


def _image_again() -> onnx.ModelProto:
    """The quantized image is added to real values further down."""
    b = Nets()
    x = b.image()
    y = b.op("Add", b.biased(x, (3, 3, 3, 3), "one", **_SAME), x, name="add")
    return b.model(b.sums(b.quant(y, 0.3, 4, 1, name="quant"), (2, 3, 3, 3), "two"))


def _border_average() -> onnx.ModelProto:
    """The engine takes such averages at fixed sizes alone."""
    b = Nets(("N", 3, "H", "W"))
    y = b.layer(b.image(), (4, 3, 3, 3), "one")
    y = b.quant(b.op("AveragePool", y, kernel_shape=[3, 3], name="pool", **_SAME), 0.3, 4, name="quant")
    return b.model(b.sums(y, (2, 4, 3, 3), "two"))


def _per_channel() -> onnx.ModelProto:
    b = Nets()
    y = b.quant(b.float_conv("image", (4, 3, 3, 3), "one"), np.arange(1, 5).reshape(4, 1, 1) / 10, 4, 1, name="quant")
    y = b.layer(y, (4, 1, 3, 3), "depthwise", group=4)
    return b.model(b.float_conv(y, (2, 4, 1, 1), "last"))


def _qdq() -> onnx.ModelProto:
    b = Nets()
    y = b.op("Relu", b.float_conv("image", (4, 3, 3, 3), "first"), name="relu")
    y = b.op("MaxPool", b.qdq(y, 0.02, 3), kernel_shape=[2, 2], strides=[2, 2], name="pool")
    weights = b.op("DequantizeLinear", b.constant(b.rng.integers(-8, 8, (4, 4, 3, 3)), np.int8), b.constant(0.1))
    y = b.op("Conv", y, weights, b.constant(b.rng.normal(size=4)), name="middle", **_SAME)
    y = b.op("Flatten", b.qdq(b.op("Relu", y, name="relu2"), 0.05, name="r"), name="flat")
    return b.model(b.float_linear(y, 4 * 9, 5, "last"))


def _thresholds() -> onnx.ModelProto:
    b = Nets()
    y = b.float_conv("image", (4, 3, 3, 3), "one")
    thresholds = b.constant(np.sort(b.rng.normal(size=(4, 3)), axis=1))
    y = b.op("MultiThreshold", y, thresholds, name="quant", domain=DOMAIN, out_scale=0.5, out_bias=-0.75, out_dtype="")
    return b.model(b.sums(y, (2, 4, 3, 3), "two"))


def _softmax_inside() -> onnx.ModelProto:
    b = Nets()
    y = b.op("Softmax", b.sums(b.image(), (4, 3, 3, 3), "one"), axis=1, name="softmax")
    return b.model(b.sums(b.quant(y, 1 / 255, 8, name="quant"), (2, 4, 3, 3), "two"))


def _sequence() -> onnx.ModelProto:
    b = Nets(("N", 4, 16))
    y = b.quant(b.op("Relu", b.float_conv("image", (4, 4, 3), "one"), name="relu"), 0.1, 4, name="quant")
    return b.model(b.float_conv(b.layer(y, (4, 4, 3), "two"), (4, 4, 3), "three"))


def _any_size() -> onnx.ModelProto:
    """Float ends around layers of any height and width."""
    b = Nets(("N", 3, "H", "W"))
    y = b.quant(b.float_conv("image", (4, 3, 3, 3), "first", strides=[2, 2], **_SAME), 0.3, 4, 1, name="quant")
    y = b.layer(y, (4, 4, 3, 3), "middle", strides=[2, 2], **_SAME)
    return b.model(b.float_conv(y, (3, 4, 3, 3), "last", **_SAME))


# A model, and who computes which layers.
ISLANDS: dict[str, tuple[Callable[[], onnx.ModelProto], Layers]] = {
    "float ends": (
        float_ends,
        [
            ("host", ["first", "relu", "quant"]),
            ("engine", ["middle", "middle_relu", "middle_quant"]),
            ("host", ["mean", "flat", "last"]),
        ],
    ),
    "float middle": (
        _float_middle,
        [
            ("engine", ["one", "one_relu", "one_quant"]),
            ("host", ["two", "relu", "quant"]),
            ("engine", ["three"]),
        ],
    ),
    "float residual": (
        _float_residual,
        [
            ("engine", ["one", "one_relu", "one_quant", "two"]),
            ("host", ["two.bias", "relu", "add", "quant"]),
            ("engine", ["three"]),
        ],
    ),
    "residual of two scales": (
        _other_scales,
        [
            ("engine", ["one", "one_relu", "one_quant", "two", "two_relu", "two_quant"]),
            ("host", ["add", "quant"]),
            ("engine", ["three"]),
        ],
    ),
    "swish behind a float layer": (
        _swish,
        [
            ("host", ["first", "quant"]),
            ("engine", ["one", "batchnormalization_4", "sigmoid", "swish", "swish_quant", "two"]),
        ],
    ),
    "gated": (
        _gated,
        [
            ("engine", ["one", "gate"]),
            ("host", ["batchnormalization_3", "sigmoid", "product", "quant"]),
            ("engine", ["two"]),
        ],
    ),
    "squeeze and excite": (
        _squeeze_excite,
        [
            ("engine", ["one", "one_relu", "one_quant", "mean", "mean_quant", "down", "down_relu", "down_quant", "up"]),
            ("host", ["up.bias", "sigmoid", "gate", "quant"]),
            ("engine", ["two"]),
        ],
    ),
    "two in a row": (
        _two_in_a_row,
        [
            ("engine", ["one", "one_relu", "one_quant"]),
            ("host", ["a", "a_quant", "b", "b_quant"]),
            ("engine", ["two"]),
        ],
    ),
    "many ends": (
        _many_ends,
        [
            ("engine", ["one", "one_relu", "one_quant", "two"]),
            ("host", ["tanh", "product", "relu", "codes"]),
            ("engine", ["three"]),
        ],
    ),
    "shared input": (
        _shared_input,
        [
            ("host", ["image_quant", "other"]),
            ("engine", ["one"]),
            ("host", ["add", "quant"]),
            ("engine", ["two"]),
        ],
    ),
    "the image again": (
        _image_again,
        [("engine", ["one"]), ("host", ["one.bias", "add", "quant"]), ("engine", ["two"])],
    ),
    "average at the border, any size": (
        _border_average,
        [
            ("engine", ["one", "one_relu", "one_quant"]),
            ("host", ["pool", "quant"]),
            ("engine", ["two"]),
        ],
    ),
    "scales of channels": (
        _per_channel,
        [
            ("host", ["one", "quant"]),
            ("engine", ["depthwise", "depthwise_relu", "depthwise_quant"]),
            ("host", ["last"]),
        ],
    ),
    "ONNX's own quantizers": (
        _qdq,
        [
            ("host", ["first", "relu", "q", "q_d"]),
            ("engine", ["pool", "middle", "middle.bias", "relu2", "r", "r_d"]),
            ("host", ["flat", "last"]),
        ],
    ),
    "thresholds": (_thresholds, [("host", ["one", "quant"]), ("engine", ["two"])]),
    "softmax between layers": (
        _softmax_inside,
        [("engine", ["one"]), ("host", ["softmax", "quant"]), ("engine", ["two"])],
    ),
    "sequence": (
        _sequence,
        [
            ("host", ["one", "relu", "quant"]),
            ("engine", ["two", "two_relu", "two_quant"]),
            ("host", ["three"]),
        ],
    ),
    "any size": (
        _any_size,
        [
            ("host", ["first", "quant"]),
            ("engine", ["middle", "middle_relu", "middle_quant"]),
            ("host", ["last"]),
        ],
    ),
}
