# SPDX-License-Identifier: Apache-2.0
import numpy as np

import bitlens
from qonnx_models import ModelBuilder
from stages import assert_refused


def test_weights_and_shapes_have_channels_last() -> None:
    b = ModelBuilder(("N", 2, 5, 7))
    integers = np.arange(36).reshape(3, 2, 3, 2)
    program = bitlens.compile(b.model(b.conv(b.image(), integers, name="conv")))
    (node,) = program.graph
    assert node.attrs["weights"].dtype == np.int32
    assert np.array_equal(node.attrs["weights"], integers.transpose(0, 2, 3, 1))
    assert program.graph.value("image").shape == (5, 7, 2)
    assert program.graph.value("conv").shape == (3, 6, 3)


def test_tensors_are_named_after_their_nodes() -> None:
    b = ModelBuilder(("N", 2))
    y = b.op("Gemm", b.image(), b.weights(np.ones((2, 2))), transB=1, name="image")  # a node called as the input
    graph = bitlens.compile(b.model(y)).graph
    assert [node.name for node in graph] == ["image.2"]
    assert graph.output_names == {"image.2": y}


def test_an_output_keeps_its_name_to_itself() -> None:
    b = ModelBuilder(("N", 2))
    hidden = b.quant(b.op("Gemm", b.image(), b.weights(np.ones((2, 2))), transB=1), 1, 8, name="hidden")
    b.op("Gemm", hidden, b.weights(np.ones((2, 2))), transB=1, name="last")
    b.nodes[-1].output[0] = "hidden"  # as a node is called, but no tensor
    graph = bitlens.compile(b.model("hidden")).graph
    assert [node.name for node in graph][-2:] == ["hidden.2", "last"]
    assert graph.output_names == {"last": "hidden"}


def test_another_rank_is_refused() -> None:
    b = ModelBuilder(("N", 2, 3, 4))
    x = b.op("Squeeze", b.op("MaxPool", b.image(), kernel_shape=[3, 1]), b.constant([2], np.int64), name="squeeze")
    assert_refused(
        b.model(b.quant(x, 1, 4)),
        "squeeze: reshape must flatten a map in front of a matrix product, not turn (None, 2, 1, 4) into (None, 2, 4); "
        "quantize behind it, per tensor",
    )
