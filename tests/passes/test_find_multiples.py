# SPDX-License-Identifier: Apache-2.0
import numpy as np
import onnx
import pytest

import bitlens
from qonnx_models import ModelBuilder
from stages import assert_refused


def net(strides: list[int], factor: list[int], height: int | str = "H") -> onnx.ModelProto:
    b = ModelBuilder(("N", 2, height, "W"))
    image = b.image()
    small = b.quant(b.conv(image, np.ones((2, 2, 1, 1)), strides=strides), 8.0, 2)
    large = b.op("Resize", small, "", b.constant([1, 1, *factor]), mode="nearest")
    skip = b.quant(b.conv(image, np.ones((2, 2, 1, 1))), 8.0, 2)
    return b.model(b.op("Add", large, skip, name="sum"))


@pytest.mark.parametrize(("strides", "multiples"), [([2, 2], (2, 2)), ([3, 1], (3, 1)), ([4, 6], (4, 6))])
def test_skip_joins_ask_for_whole_reductions(strides: list[int], multiples: tuple[int, int]) -> None:
    program = bitlens.compile(net(strides, strides))
    assert program.graph.value("image").multiples == multiples


def test_a_fixed_axis_has_no_multiple() -> None:
    program = bitlens.compile(net([2, 2], [2, 2], height=8))
    assert program.graph.value("image").multiples == (1, 2)


def test_a_net_that_fits_no_size_is_refused() -> None:
    assert_refused(
        net([2, 2], [3, 2]),
        "image: height and width must fit the net at multiples of 1 to 64; export with a fixed size",
    )
