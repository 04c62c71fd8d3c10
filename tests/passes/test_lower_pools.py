# SPDX-License-Identifier: Apache-2.0
from typing import Any

import numpy as np
import pytest

import bitlens
from onnx_runtime import evaluate
from qonnx_models import ModelBuilder
from stages import after, assert_refused, only


def test_an_average_is_a_sum_with_a_smaller_unit() -> None:
    b = ModelBuilder(("N", 1, 4, 4))
    x = b.op("AveragePool", b.image(), kernel_shape=[2, 3], strides=[2, 1], name="average")
    program = bitlens.compile(b.model(x))
    (node,) = program.graph
    assert (node.op, node.attrs["kernel"], node.attrs["stride"]) == ("sum_pool", (2, 3), (2, 1))
    value = program.graph.value("average")
    assert value.scale == program.graph.value("image").scale / 6
    assert value.grid is not None
    assert value.grid.hi == 6 * 255


def test_rounding_up_a_size_that_divides_is_no_matter() -> None:
    b = ModelBuilder(("N", 1, 4, 4))
    x = b.op("MaxPool", b.image(), kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    assert only(after(b.model(x), "lower_pools"), "max_pool").attrs["pads"] == (0, 0, 0, 0)


@pytest.mark.parametrize("size", range(2, 9))
@pytest.mark.parametrize(
    "window", [(2, 2, 1, 0, 0), (3, 2, 1, 0, 0), (3, 4, 1, 1, 2), (2, 3, 2, 1, 0), (1, 3, 1, 0, 0)]
)
def test_windows_cut_off_at_the_end_are_those_of_onnx_runtime(size: int, window: tuple[int, ...]) -> None:
    kernel, stride, dilation, before, after = window
    attrs: dict[str, Any] = {"kernel_shape": [kernel, 1], "strides": [stride, 1], "dilations": [dilation, 1]}
    attrs |= {"pads": [before, 0, after, 0], "ceil_mode": 1}
    b = ModelBuilder(("N", 1, size, 8))
    x = b.op("MaxPool", b.image(), **attrs)
    images = np.random.default_rng(size).integers(0, 256, (2, size, 8, 1))
    peer = ModelBuilder(("N", 1, size, 8))
    peer.op("MaxPool", "image", **attrs)
    want = evaluate(peer.model("maxpool_0"), image=images.transpose(0, 3, 1, 2).astype(np.float32))
    got = bitlens.compile(b.model(x)).run(images)[x]
    assert np.array_equal(got.transpose(0, 3, 1, 2), want)


def test_a_last_window_that_is_cut_off_is_refused() -> None:
    sentence = "pool: ceil_mode must be 0 where the last window is cut off, not 1; pad the map explicitly instead"
    b = ModelBuilder(("N", 1, "height", "width"))
    pool = b.op("MaxPool", b.image(), kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1, name="pool")
    assert_refused(b.model(pool), sentence)


def test_indices_that_are_read_are_refused() -> None:
    b = ModelBuilder()
    x = b.op("MaxPool", b.image(), kernel_shape=[2, 2], name="pool", outputs=2)
    assert_refused(
        b.model(x, f"{x}.1"),
        "pool: only the first result of MaxPool must be read; replace the operator, or cut the model before it",
    )


def test_a_pool_of_padding_alone_is_refused() -> None:
    b = ModelBuilder(("N", 1, 2, 2))
    x = b.op("MaxPool", b.image(), kernel_shape=[1, 2], dilations=[1, 3], strides=[1, 1], pads=[0, 2, 0, 2], name="p")
    assert_refused(
        b.model(x),
        "p: every window must see a pixel, not padding alone, of 2 with pads (2, 2); "
        "integer programs have no other form, change the model",
    )
