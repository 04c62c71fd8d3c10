# SPDX-License-Identifier: Apache-2.0
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import bitlens
from bitlens.runtime import Session
from qonnx_models import ModelBuilder
from stages import assert_refused

_ATTRS: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "name": "pool"}


def _model(shape: tuple[Any, ...], attrs: dict[str, Any]) -> tuple[ModelBuilder, str]:
    b = ModelBuilder(("N", *shape))
    return b, b.op("AveragePool", b.quant("image", 1.0, 8), **attrs)


@given(data=st.data())
@settings(deadline=None, max_examples=120)
def test_averages_are_those_of_onnx_runtime(data: st.DataObject) -> None:
    kernel = [data.draw(st.integers(1, 4)) for _ in "yx"]
    sizes = [data.draw(st.integers(1, 8)) for _ in "yx"]
    pads = [data.draw(st.integers(0, kernel[axis % 2] - 1)) for axis in range(4)]
    attrs: dict[str, Any] = {
        "kernel_shape": kernel,
        "strides": [data.draw(st.integers(1, 3)) for _ in "yx"],
        "pads": pads,
        "count_include_pad": data.draw(st.integers(0, 1)),
        "ceil_mode": data.draw(st.integers(0, 1)),
    }
    assume(all(size + pads[axis] + pads[axis + 2] >= kernel[axis] for axis, size in enumerate(sizes)))
    channels = data.draw(st.integers(1, 3))
    b, output = _model((channels, *sizes), attrs)
    peer = ModelBuilder(("N", channels, *sizes))
    session = onnxruntime.InferenceSession(
        peer.model(peer.op("AveragePool", "image", **attrs), opset=19).SerializeToString()
    )
    images = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, 256, (2, *sizes, channels))
    (want,) = session.run(None, {"image": images.transpose(0, 3, 1, 2).astype(np.float32)})
    try:
        program = bitlens.compile(b.model(output))
    except bitlens.compiler.CompileError as error:
        assert "use count_include_pad=1 or no padding" in str(error) or "see a pixel" in str(error)
        assert max(kernel) > 3 or "see a pixel" in str(error)
        return
    found = program.run(images)[output]
    scale = float(program.graph.value(program.graph.outputs[0]).scale)
    # as fractions: no average of a window's bytes is nearer to another one than this
    assert np.abs(found.transpose(0, 3, 1, 2) * scale - want).max(initial=0) < 1e-3
    assert np.array_equal(Session(program).run(images)[output], found)


def test_windows_at_the_border_count_more() -> None:
    b, output = _model((1, 3, 3), _ATTRS)
    program = bitlens.compile(b.model(output))
    image = np.array([[36, 0, 0], [0, 0, 0], [0, 0, 9]]).reshape(1, 3, 3, 1)
    want = [[36 * 9, 36 * 6, 0], [36 * 6, 45 * 4, 9 * 6], [0, 9 * 6, 9 * 9]]
    assert program.run(image)[output].reshape(3, 3).tolist() == want
    assert program.graph.value(program.graph.outputs[0]).scale == np.float32(1 / 36)


@pytest.mark.parametrize("pad", ["NOTSET", "SAME_UPPER", "SAME_LOWER"])
def test_codes_behind_a_quantizer_are_the_models(pad: str) -> None:
    b = ModelBuilder(("N", 5, 9, 8))
    attrs: dict[str, Any] = {"kernel_shape": [3, 3], "strides": [2, 1]}
    attrs |= {"pads": [1, 1, 1, 1]} if pad == "NOTSET" else {"auto_pad": pad}
    x = b.op("AveragePool", b.image(), **attrs)
    program = bitlens.compile(b.model(b.quant(b.op("Relu", x), 0.01, 6), x))  # verified against the model
    images = np.random.default_rng(0).integers(0, 256, (3, 9, 8, 5))
    golden = program.run(images)
    for name, array in Session(program).run(images).items():
        assert np.array_equal(array, golden[name])


def test_even_windows_that_nothing_cuts_are_plain_sums() -> None:
    b, output = _model((2, 8, 8), {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1})
    assert [node.op for node in bitlens.compile(b.model(output)).graph] == ["sum_pool"]


def test_factors_that_leave_a_weight_are_refused() -> None:
    b, output = _model((1, 9, 9), {"kernel_shape": [5, 5], "pads": [2, 2, 2, 2], "name": "pool"})
    assert_refused(
        b.model(output),
        "pool: divisors of AveragePool must have factors of at most 127 to their common multiple 3600, not 400; "
        "use count_include_pad=1 or no padding",
    )


def test_a_symbolic_size_is_refused() -> None:
    b, output = _model((1, "height", "width"), _ATTRS)
    assert_refused(
        b.model(output),
        "pool: divisor of AveragePool must be the same everywhere where the size is symbolic, not smaller at the border; "
        "use count_include_pad=1 or no padding, or export with a fixed size",
    )
