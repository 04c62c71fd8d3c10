# SPDX-License-Identifier: Apache-2.0
"""Zero padding of maps whose grid lacks 0, beside ONNX Runtime's convolution of the real values."""

from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bitlens
from bitlens.runtime import Session
from qonnx_models import ModelBuilder

_KINDS = ("bipolar", "odd 2", "odd 4", "odd 8", "shifted 2", "shifted 8", "QCDQ")
_STEP = 0.25  # a power of two: float32 adds all of these products exactly


def _features(b: ModelBuilder, kind: str) -> tuple[str, np.ndarray]:
    """A quantized map, made of the quantized image, and its real values for each integer of the image."""
    x, integers = b.quant("image", _STEP, 8, 1, name="image_quant"), np.arange(-128, 128)
    if kind == "bipolar":
        return b.bipolar(x, _STEP), np.where(integers >= 0, _STEP, -_STEP)
    if kind == "QCDQ":  # zero point 128: 0 is on the grid, but not the code 0
        scale, zero_point = b.constant(_STEP), b.constant(128, np.uint8)
        y = b.op("Relu", b.op("Add", x, b.constant(-1.0)))
        codes = b.op("QuantizeLinear", y, scale, zero_point)
        return b.op("DequantizeLinear", codes, scale, zero_point), np.clip(integers - 4, 0, 127) * _STEP
    name, bits = kind.split()[0], int(kind.split()[1])
    zero_point = -0.5 if name == "odd" else -3.0
    half = 1 << (bits - 1)
    lo, hi = (-half, half - 1) if name == "odd" else (0, 2 * half - 1)
    codes = np.clip(np.floor(integers + zero_point), lo, hi)
    return b.quant(x, _STEP, bits, int(name == "odd"), 0, zero_point, "FLOOR"), (codes - zero_point) * _STEP


@pytest.mark.parametrize("kind", _KINDS)
@given(groups=st.sampled_from([1, 2, 4]), seed=st.integers(0, 1 << 30))
@settings(deadline=None, max_examples=20)
def test_padding_adds_real_zeros(kind: str, groups: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    kernel, dilation = ([int(number) for number in rng.integers(1, most, 2)] for most in (5, 3))
    extent = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    pads = [int(rng.integers(0, extent[axis % 2])) for axis in range(4)]
    sizes = [max(int(rng.integers(1, 8)), extent[axis] - pads[axis] - pads[axis + 2]) for axis in (0, 1)]
    attrs: dict[str, Any] = {"pads": pads, "strides": rng.integers(1, 4, 2).tolist(), "dilations": dilation}
    weights = rng.integers(-3, 4, (4 * int(rng.integers(1, 3)), 4 // groups, *kernel))

    b = ModelBuilder(("N", 4, *sizes))
    features, real = _features(b, kind)
    output = b.conv(features, weights, group=groups, **attrs)
    program = bitlens.compile(b.model(output))

    peer = ModelBuilder(("N", 4, *sizes))
    want = peer.op("Conv", "image", peer.constant(weights * 0.25), group=groups, **attrs)
    runtime = onnxruntime.InferenceSession(peer.model(want).SerializeToString())

    integers = rng.integers(-128, 128, (2, *sizes, 4))
    (expected,) = runtime.run(None, {"image": real[integers + 128].transpose(0, 3, 1, 2).astype(np.float32)})
    golden = program.run(integers)[output]
    assert np.array_equal(golden.transpose(0, 3, 1, 2) * program.graph.value(program.graph.outputs[0]).scale, expected)
    assert np.array_equal(Session(program).run(integers)[output], golden)
