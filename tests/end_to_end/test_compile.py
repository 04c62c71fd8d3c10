# SPDX-License-Identifier: Apache-2.0
"""Whole models: symbolic sizes, tails, and what is refused, sentence by sentence."""

import re
from collections.abc import Callable

import numpy as np
import onnx
import pytest

import bitlens
from bitlens.graph.execute import execute
from bitlens.graph.spec import CompileError
from bitlens.qonnx.read import read
from bitlens.runtime import Session
from exactness import assert_exact, assert_output
from processors import ISAS
from qonnx_models import ModelBuilder


def _map(channels: int = 2) -> ModelBuilder:
    return ModelBuilder(("N", channels, 6, 6))


def _ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.int64)


def _unknown() -> onnx.ModelProto:
    b = _map()
    return b.model(b.op("GridSample", b.image(), name="act"))


def _custom() -> onnx.ModelProto:
    b = _map()
    return b.model(b.op("FloatQuant", b.image(), name="act", domain="qonnx.custom_op.general"))


def _join(op: str, second: float, *, float_branch: bool = False) -> onnx.ModelProto:
    b = _map()
    x = b.conv(b.image(), _ones(2, 2, 1, 1))
    left = b.quant(x, 0.5, 8, 1)
    right = b.op("Relu", x) if float_branch else b.quant(x, second, 8, 1)
    return b.model(b.quant(b.op(op, left, right, name="join", **({"axis": 1} if op == "Concat" else {})), 0.5, 4))


def _overflow() -> onnx.ModelProto:
    b = ModelBuilder(("N", 300))
    x = b.quant("image", 1.0, 16)
    weights = b.quant(b.constant(np.full((1, 300), 127)), 1.0, 8, 1, 1)
    return b.model(b.op("Gemm", x, weights, name="fc", transB=1))


def _float_weights() -> onnx.ModelProto:
    b = _map()
    return b.model(b.op("Conv", b.image(), b.constant(np.full((2, 2, 1, 1), 0.5)), name="conv"))


def _wide_weights() -> onnx.ModelProto:
    b = _map()
    weights = b.quant(b.constant(_ones(2, 2, 1, 1) * 40000), 1.0, 17, 1)
    return b.model(b.op("Conv", b.image(), weights, name="conv"))


def _float_input() -> onnx.ModelProto:
    b = _map()
    return b.model(b.conv("image", _ones(2, 2, 1, 1)))


def _float_features() -> onnx.ModelProto:
    b = _map()
    x = b.op("Relu", b.conv(b.image(), _ones(2, 2, 1, 1)), name="relu")
    return b.model(b.conv(x, _ones(2, 2, 1, 1), name="second"))


def _wide_features() -> onnx.ModelProto:
    b = _map()
    x = b.conv(b.image(), 99 * _ones(2, 2, 3, 3))
    return b.model(b.conv(x, _ones(2, 2, 3, 3), name="second"))


def _float_end() -> onnx.ModelProto:
    b = _map()
    return b.model(b.op("Relu", b.conv(b.image(), _ones(2, 2, 1, 1)), name="relu"))


def _unsettled_pool() -> onnx.ModelProto:
    b = _map()
    x = b.op("Abs", b.conv(b.image(), _ones(2, 2, 1, 1)))
    x = b.op("MaxPool", x, name="pool", kernel_shape=[2, 2])
    return b.model(b.conv(b.quant(b.op("Abs", b.op("Neg", x)), 0.1, 4), _ones(2, 2, 1, 1)))


def _per_channel_input() -> onnx.ModelProto:
    b = _map()
    x = b.quant(b.conv(b.image(), _ones(2, 2, 1, 1)), np.array([0.1, 0.2]).reshape(1, 2, 1, 1), 4)
    return b.model(b.conv(x, _ones(2, 2, 1, 1), name="second"))


def _product() -> onnx.ModelProto:
    b = _map()
    x = b.image()
    return b.model(b.quant(b.op("Div", b.quant(x, 0.1, 4), b.quant(x, 0.1, 2), name="gate"), 0.1, 4))


def _free_size() -> onnx.ModelProto:
    b = ModelBuilder(("N", 2, "h", "w"))
    x = b.op("Flatten", b.image())
    return b.model(b.op("Gemm", x, b.weights(_ones(3, 72)), name="fc", transB=1))


def test_a_symbolic_size_is_planned_when_a_session_opens() -> None:
    b = ModelBuilder(("N", 2, "h", "w"))
    rng = np.random.default_rng(0)
    x = b.conv(b.image(), rng.integers(-9, 10, (4, 2, 3, 3)), pads=[1, 1, 1, 1])
    x = b.quant(b.op("Relu", b.batch_norm(x, [1, -1, 2, 0.5], [0, 1, 0, 1], [0, 0, 0, 0], [9, 9, 9, 9])), 0.1, 3)
    x = b.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    model = b.model(b.conv(x, rng.integers(-9, 10, (3, 4, 1, 1))))
    program, imported = bitlens.compile(model), read(model)
    for size in ((8, 12), (5, 7)):
        images = rng.integers(0, 256, (2, *size, 2))
        golden = program.run(images)["conv_8"]
        real = images.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
        assert_output(program, "conv_8", execute(imported, {"image": real.astype(np.float32)})["conv_8"], golden)
        for isa in ISAS:
            np.testing.assert_array_equal(Session(program, isa=isa, size=size).run(images)["conv_8"], golden)


def test_tails_stay_outside_and_are_named() -> None:
    b = ModelBuilder(("N", 4))
    scores = b.op("Gemm", b.image(), b.weights(np.eye(4)), transB=1)
    program = assert_exact(b.model(b.op("ArgMax", b.op("Softmax", scores, name="probabilities"), axis=1, name="class")))
    assert list(program.run(np.zeros((1, 1, 1, 4), np.int64))) == ["class_4"]
    assert program.metadata["tail"] == "class_4: softmax\nclass_4: argmax"


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            _unknown,
            "act: operator must be one that bitlens compiles, not GridSample; replace the operator, or cut the model before it",
        ),
        (
            _custom,
            "act: operator must be one that bitlens compiles, not FloatQuant; "
            "replace the operator, or cut the model before it",
        ),
        (
            lambda: _join("Add", 0.3),
            "join: scales of the operands must be equal or whole multiples of the smallest, not 0.5 and 0.300000012; "
            "quantize both branches onto one shared grid before the sum, or allow it (--allow-requantize)",
        ),
        (
            lambda: _join("Add", 0.5, float_branch=True),
            "join: input must be integers, not real values (relu_4); "
            "quantize both branches onto one shared grid before the sum, or allow it (--allow-requantize), "
            "or run it in float on the host with --float-islands",
        ),
        (
            lambda: _join("Concat", 0.3),
            "join: scales of the operands must be equal or whole multiples of the smallest, not 0.5 and 0.300000012; "
            "quantize every branch with one shared scale before the concat, or allow it (--allow-requantize)",
        ),
        (
            _overflow,
            "fc: sums must stay within 32 bits, not reach [0, 2496883500]; use fewer bits or fewer channels",
        ),
        (
            _float_weights,
            "conv: weights must be quantized, not float (c3); put a Quant or BipolarQuant operator on them",
        ),
        (_wide_weights, "conv: weights must be integers within -32768..32767, not 40000..40000; use fewer bits"),
        (
            _float_input,
            "image: input must go into one quantizer, not into conv; "
            "quantize it first, 8 bits unsigned with scale 1/255 for images",
        ),
        (
            _float_features,
            "second: input must be integers, not real values (relu_3); put a quantizer before it, "
            "or run it in float on the host with --float-islands",
        ),
        (
            _wide_features,
            "second: input must have at most 16 bits, not 19; quantize it to fewer bits, or allow it (--allow-requantize)",
        ),
        (
            _float_end,
            "relu: output must be a sum with scale and offset, not end in Relu; quantize it, or cut the model before it, "
            "or run it in float on the host with --float-islands",
        ),
        (
            _unsettled_pool,
            "pool: what stands between the sum and the max pool must rise or fall, not turn back; "
            "pool before the activation, or quantize before the pool",
        ),
        (
            _per_channel_input,
            "second: scale of the input must be one number, not one per channel; quantize it per tensor, or allow it (--allow-requantize)",
        ),
        (
            _product,
            "gate: operator must have an integer form here, not be Div of computed tensors; "
            "replace the operator, or cut the model before it",
        ),
        (
            _free_size,
            "fc: inputs of Gemm must fit, not (None, None), (3, 72): "
            "a flattened map must have a fixed size; export with a fixed height and width",
        ),
    ],
)
def test_refusals_name_layer_reason_and_remedy(make: Callable[[], onnx.ModelProto], sentence: str) -> None:
    with pytest.raises(CompileError, match=rf"\A{re.escape(sentence)}\Z"):
        bitlens.compile(make())


@pytest.mark.parametrize("bits", [8, 9, 12, 16])
@pytest.mark.parametrize("kernel", [1, 3])
def test_wide_weights_are_exact_on_the_engine(bits: int, kernel: int) -> None:
    """uint8 weights with a zero point take 9 bits; sums of few channels leave room for 16."""
    rng = np.random.default_rng(bits)
    b = ModelBuilder(("N", 4, 6, 6))
    lo, hi = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    integers = rng.integers(lo, hi + 1, (5, 4, kernel, kernel))
    integers.flat[:2] = lo, hi
    weights = b.quant(b.constant(integers), 1.0, bits, 1)
    program = bitlens.compile(b.model(b.op("Conv", b.image(4), weights, pads=[kernel // 2] * 4, name="conv")))
    x = rng.integers(0, 16, (3, 6, 6, 4)).astype(np.uint8)
    golden = program.run(x)
    padded = np.pad(x.astype(int), ((0, 0), (kernel // 2,) * 2, (kernel // 2,) * 2, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(1, 2))
    wanted = np.einsum("nyxcij,ocij->nyxo", windows, integers)
    for isa in ("portable", None):
        for name, array in bitlens.Session(program, isa=isa).run(x).items():
            assert np.array_equal(array, golden[name])
            assert np.array_equal(array, wanted)
