# SPDX-License-Identifier: Apache-2.0
"""Arithmetic in an integer type wraps in ONNX: refused, but on real numbers behind a Cast compiled."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto

import bitlens
from qonnx_models import ModelBuilder
from stages import assert_refused


def model(op: str, kind: int, cast_first: bool, quantized: bool = False) -> onnx.ModelProto:
    b = ModelBuilder(("N", 1, 2, 2), TensorProto.FLOAT if quantized else kind)
    dtype = np.uint8 if kind == TensorProto.UINT8 else np.int8
    x = "image"
    if quantized:
        x = b.op("QuantizeLinear", x, b.constant(1 / 255), b.constant(0, dtype))
        x = b.op("MaxPool", x, kernel_shape=[1, 1])
    if cast_first:
        x = b.op("Cast", x, to=TensorProto.FLOAT)
    operands = [] if op in ("Neg", "Abs") else [b.constant(3.0) if cast_first else b.constant(3, dtype)]
    x = b.op(op, x, *operands, name="a")
    if not cast_first:
        x = b.op("Cast", x, to=TensorProto.FLOAT)
    x = b.op("QuantizeLinear", x, b.constant(1.0), b.constant(0, np.int8))
    x = b.op("DequantizeLinear", x, b.constant(1.0), b.constant(0, np.int8))
    return b.model(b.op("Conv", x, b.weights(np.ones((1, 1, 1, 1)))))


KINDS = {op: [TensorProto.UINT8, TensorProto.INT8] for op in ("Add", "Sub", "Mul", "Div", "Abs")} | {
    "Neg": [TensorProto.INT8]
}


@pytest.mark.parametrize(("op", "kind"), [(op, kind) for op, kinds in KINDS.items() for kind in kinds])
def test_arithmetic_of_8_bits_is_refused(op: str, kind: int) -> None:
    sentence = f"a: {op} must be of real values, not of integers of 8 or 16 bits, which wrap; cast them to FLOAT in front of it"
    assert_refused(model(op, kind, cast_first=False), sentence)


def test_arithmetic_of_codes_is_refused() -> None:
    with pytest.raises(bitlens.CompileError, match=r"^a: Sub must be of real values, not of integers"):
        bitlens.compile(model("Sub", TensorProto.UINT8, cast_first=False, quantized=True))


@pytest.mark.parametrize("op", ["Sub", "Add"])
def test_behind_a_cast_it_is_compiled(op: str) -> None:
    program = bitlens.compile(model(op, TensorProto.UINT8, cast_first=True))
    (found,) = program.run(np.array([0, 1, 100, 255], np.uint8).reshape(1, 2, 2, 1)).values()
    wanted = np.clip(np.array([0, 1, 100, 255]) + (3 if op == "Add" else -3), -128, 127)
    assert np.array_equal(found.reshape(-1), wanted)
