# SPDX-License-Identifier: Apache-2.0
import numpy as np

import bitlens
from bitlens.graph.execute import execute
from bitlens.graph.infer_shapes import infer_shapes
from bitlens.passes.fold_constants import fold_constants
from bitlens.qonnx.read import read
from qonnx_models import ModelBuilder
from stages import after, assert_refused


def test_a_reshape_passes_what_treats_all_numbers_alike() -> None:
    b = ModelBuilder(("N", 2, 3, 4))
    x = b.op("Relu", b.op("Flatten", b.image()))
    x = b.quant(x, 1 / 3, 2)
    graph = after(b.model(b.op("Gemm", x, b.weights(np.ones((1, 24))), transB=1)), "sink_moves")
    assert [node.op for node in graph] == ["chain", "chain", "chain", "Reshape", "Gemm"]
    assert graph.value(x).shape == (None, 2, 3, 4)


def test_a_reshape_that_keeps_channels_passes_any_chain() -> None:
    b = ModelBuilder(("N", 2, 1, 1))
    x = b.op("Mul", b.op("Flatten", b.image()), b.constant([1.0, 2.0]))
    model = b.model(b.op("Gemm", b.quant(x, 1 / 3, 2), b.weights(np.ones((1, 2))), transB=1))
    assert [node.op for node in bitlens.compile(model).graph] == ["steps", "conv"]


def test_several_readers_each_get_the_map() -> None:
    b = ModelBuilder(("N", 2, 3, 4))
    flat = b.op("Flatten", b.image())
    heads = [b.op("Gemm", b.quant(flat, s, 4), b.weights(np.ones((1, 24))), transB=1) for s in (0.5, 0.25)]
    program = bitlens.compile(b.model(*heads))
    assert [node.op for node in program.graph if node.op in ("flatten", "conv")] == ["conv", "conv"]
    assert all(node.attrs["kernel"] == (3, 4) for node in program.graph if node.op == "conv")


def test_numbers_per_element_of_a_flattened_map_are_refused() -> None:
    b = ModelBuilder(("N", 2, 2, 2))
    x = b.op("Mul", b.op("Flatten", b.image(), name="flat"), b.constant(np.arange(8.0)))
    model = b.model(b.op("Gemm", b.quant(x, 1 / 3, 2), b.weights(np.ones((1, 8))), transB=1))
    assert_refused(
        model,
        "flat: reshape must flatten a map in front of a matrix product, not turn (None, 2, 2, 2) into (None, 8); "
        "quantize behind it, per tensor",
    )


def test_added_zeros_go_the_whole_way_or_stay() -> None:
    def model(shift: float):  # type: ignore[no-untyped-def]
        b = ModelBuilder(("N", 2, 3, 4))
        x = b.op("Pad", b.image(), b.constant([0, 0, 1, 1, 0, 0, 1, 1], np.int64))
        x = b.op("Add", b.op("LeakyRelu", x, alpha=0.1), b.constant(shift))
        return b.model(b.quant(x, 1 / 3, 2))

    assert [node.op for node in bitlens.compile(model(0.0)).graph] == ["steps", "upsample"]
    assert [node.op for node in bitlens.compile(model(0.5)).graph] == ["upsample", "steps"]


def test_several_moves_pass_one_chain() -> None:
    b = ModelBuilder(("N", 2, 3, 4))
    x = b.op("Relu", b.op("Pad", b.image(), b.constant([0, 0, -1, 0, 0, 0, 0, -1], np.int64)))
    x = b.op("Resize", x, "", b.constant([1, 1, 2, 2]), mode="nearest")
    program = bitlens.compile(b.model(b.quant(x, 1 / 3, 2)))
    assert [node.op for node in program.graph] == ["steps", "upsample", "upsample"]


def test_a_concat_of_real_branches_goes_behind_their_quantizer() -> None:
    """Squeeze and expand: Relu of two convolutions, joined, then one quantizer."""
    rng = np.random.default_rng(0)
    b = ModelBuilder(("N", 3, 5, 5))
    x = b.image()
    left = b.op("Relu", b.conv(x, rng.integers(-8, 8, (4, 3, 1, 1)), b.constant(rng.normal(0, 1, 4)), name="left"))
    right = b.conv(x, rng.integers(-8, 8, (6, 3, 3, 3)), b.constant(rng.normal(0, 1, 6)), name="right", pads=[1] * 4)
    joined = b.op("Concat", left, b.op("Relu", right), axis=1)
    y = b.quant(b.op("Mul", joined, b.constant(0.5)), 0.21, 4, name="shared")
    model = b.model(b.conv(y, rng.integers(-8, 8, (2, 10, 1, 1)), name="last"))
    program = bitlens.compile(model)
    assert sorted(node.op for node in program.graph) == ["concat", "conv", "conv", "conv", "steps", "steps"]
    graph = read(model)
    infer_shapes(graph)
    fold_constants(graph)
    image = rng.integers(0, 256, (2, 5, 5, 3)).astype(np.uint8)
    real = (image.astype(np.float32) * np.float32(1 / 255)).transpose(0, 3, 1, 2)
    wanted = execute(graph, {"image": real})[graph.outputs[0]].integers
    (found,) = bitlens.Session(program).run(image).values()
    assert wanted is not None
    assert np.array_equal(found, wanted.transpose(0, 2, 3, 1))
