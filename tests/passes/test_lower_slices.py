# SPDX-License-Identifier: Apache-2.0
"""Parts of tensors, beside ONNX Runtime on whole numbers."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto

import bitlens
from qonnx_models import ModelBuilder
from stages import assert_moves, assert_refused

MOST = (1 << 63) - 1


def cut(
    b: ModelBuilder, x: str, starts: list[int], ends: list[int], axes: list[int], steps: list[int] | None = None
) -> str:
    operands = [b.constant(numbers, np.int64) for numbers in (starts, ends, axes, *([steps] if steps else []))]
    return b.op("Slice", x, *operands, name="cut")


@pytest.mark.parametrize(
    ("numbers", "ops"),
    [
        (([2], [5], [1]), ["select"]),
        (([1], [MOST], [1], [3]), ["select"]),
        (([1, -6], [-1, MOST], [2, 3]), ["upsample"]),
        (([1, 0], [MOST, MOST], [-2, -1], [2, 3]), ["upsample", "max_pool"]),
        (([0, 0], [MOST, MOST], [2, 3], [2, 2]), ["max_pool"]),
        (([3, 2], [8, 4], [1, 2]), ["select", "upsample"]),
    ],
)
def test_slices(numbers: tuple[list[int], ...], ops: list[str]) -> None:
    assert_moves(lambda b, x: cut(b, x, *numbers), ops)


def test_splits_of_equal_and_given_sizes() -> None:
    def equal(b: ModelBuilder, x: str) -> str:
        parts = b.op("Split", x, axis=1, outputs=2)
        return b.op("Concat", f"{parts}.1", parts, axis=1)

    def given(b: ModelBuilder, x: str) -> str:
        parts = b.op("Split", x, b.constant([1, 5, 2], np.int64), axis=1, outputs=3)
        return b.op("Concat", f"{parts}.2", parts, axis=1)

    assert_moves(equal, ["select", "select", "concat"])
    assert_moves(given, ["select", "select", "concat"])


def test_channels_by_a_list() -> None:
    assert_moves(lambda b, x: b.op("Gather", x, b.constant([7, 0, -3, 0], np.int64), axis=1), ["select"])


@pytest.mark.parametrize(("mode", "ops"), [("DCR", ["depth_to_space"]), ("CRD", ["select", "depth_to_space"])])
def test_depth_to_space(mode: str, ops: list[str]) -> None:
    assert_moves(lambda b, x: b.op("DepthToSpace", x, blocksize=2, mode=mode), ops)


def test_parts_of_real_values_go_behind_their_quantizer() -> None:
    b = ModelBuilder(("N", 2, 4, 4))
    x = b.conv(b.image(), np.ones((4, 2, 1, 1)))
    x = b.batch_norm(x, [1, 2, 3, 4], [0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1])
    program = bitlens.compile(b.model(b.quant(b.op("DepthToSpace", x, blocksize=2), 0.5, 4)))
    assert [node.op for node in program.graph] == ["conv", "steps", "depth_to_space"]


def _first(b: ModelBuilder) -> str:
    return b.op("Cast", "image", to=TensorProto.FLOAT)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda b: cut(b, _first(b), [-1], [-MOST], [2], [-1]),
            "cut: Slice must take channels, rows or columns in their order, not {2: (-1, -9223372036854775807, -1)} of "
            "(None, 8, 6, 7); slice outside the model",
        ),
        (
            lambda b: b.op("Gather", _first(b), b.constant(0, np.int64), axis=1, name="g"),
            "g: Gather must take channels by a constant list, not otherwise; slice outside the model",
        ),
        (
            lambda b: b.op("DepthToSpace", _first(b), blocksize=3, name="d"),
            "d: inputs of DepthToSpace must fit, not (None, 8, 6, 7): blocksize^2 must divide the channels of (N, C, H, W), "
            "not 3 of (None, 8, 6, 7)",
        ),
    ],
)
def test_refusals(make, sentence: str) -> None:
    b = ModelBuilder(("N", 8, 6, 7), TensorProto.UINT8)
    assert_refused(b.model(make(b)), sentence)


def test_scales_and_bits_may_be_computed_in_the_file() -> None:
    b = ModelBuilder(("N", 2, 4, 4))
    bits = b.op("Ceil", b.op("Div", b.op("Log", b.constant(15.0)), b.op("Log", b.constant(2.0))))
    scale = b.op("Pow", b.constant(2.0), b.op("Floor", b.constant(-6.5)))
    attrs = {"signed": 0, "narrow": 0, "rounding_mode": "ROUND"}
    x = b.op("Quant", b.image(), b.op("Max", scale, b.constant(1e-6)), b.constant(0.0), bits, domain="", **attrs)
    model = b.model(x)
    assert isinstance(model, onnx.ModelProto)
    program = bitlens.compile(model)
    value = program.graph.value(program.graph.outputs[0])
    assert (str(value.grid), float(value.scale)) == ("unsigned 4", 2.0**-7)
