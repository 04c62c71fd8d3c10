# SPDX-License-Identifier: Apache-2.0
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from bitlens.graph.infer_shapes import infer_shapes
from bitlens.graph.spec import CompileError
from bitlens.qonnx.read import read
from qonnx_models import ModelBuilder
from random_models import random_model
from stages import after, assert_refused


def _by_onnx(model: onnx.ModelProto) -> dict[str, list[int]]:
    """What ONNX infers, quantizers taken for identities and the batch for 7 images."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for node in copy.graph.node:
        if node.op_type in ("Quant", "IntQuant", "BipolarQuant", "MultiThreshold"):
            node.CopyFrom(helper.make_node("Identity", node.input[:1], node.output, node.name))
    for info in copy.graph.input:
        info.type.tensor_type.shape.dim[0].dim_value = 7
    inferred = onnx.shape_inference.infer_shapes(copy, strict_mode=True, data_prop=True).graph
    return {info.name: [dim.dim_value for dim in info.type.tensor_type.shape.dim] for info in inferred.value_info}


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), blocks=st.integers(1, 5))
def test_shapes_are_those_that_onnx_infers(seed: int, blocks: int) -> None:
    model = random_model(seed, blocks, sequences=False)
    graph = read(model)
    infer_shapes(graph)
    batched = 0
    for name, wanted in _by_onnx(model).items():
        found = list(graph.value(name).shape or ())
        assert len(found) == len(wanted), name
        for ours, theirs in zip(found, wanted, strict=True):
            assert ours == theirs or (ours is None and theirs == 7), name
            batched += ours is None
    assert batched


def test_height_and_width_may_be_symbolic() -> None:
    b = ModelBuilder(("N", 1, "H", "W"))
    x = b.conv(b.image(), np.ones((2, 1, 3, 3)), name="conv", strides=[2, 2], pads=[1, 1, 1, 1])
    graph = after(b.model(b.quant(x, 1, 2)), "infer_shapes")
    assert graph.value(x).shape == (None, 2, None, None)


def test_a_shape_may_be_computed_in_the_graph() -> None:
    b = ModelBuilder(("N", 2, 3, 4))
    x = b.image()
    batch = b.op("Gather", b.op("Shape", x), b.constant(0, np.int64), axis=0)
    batch = b.op("Unsqueeze", batch, b.constant([0], np.int64))
    flat = b.op("Reshape", x, b.op("Concat", batch, b.constant([-1], np.int64), axis=0))
    graph = after(b.model(b.op("Gemm", flat, b.weights(np.ones((5, 24))), transB=1)), "infer_shapes")
    assert graph.value(flat).shape == (None, 24)


@pytest.mark.parametrize(
    ("attrs", "reason"),
    [
        ({"strides": [0, 1]}, "kernel, strides and dilations must be at least 1 and pads at least 0"),
        ({"dilations": [5, 1]}, "a window of 11 must fit the padded size 8"),
        ({"group": 2}, "group 2 must divide 2 outputs, and weights (2, 3, 3, 3) must match the channels"),
        ({"kernel_shape": [1, 1]}, "kernel_shape must be (3, 3), not (1, 1)"),
    ],
)
def test_windows_that_do_not_fit_are_refused(attrs: dict[str, object], reason: str) -> None:
    b = ModelBuilder()
    model = b.model(b.conv(b.image(), np.ones((2, 3, 3, 3)), **attrs))
    assert_refused(model, f"conv: inputs of Conv must fit, not (None, 3, 8, 8), (2, 3, 3, 3): {reason}")


def test_a_pool_of_padding_alone_is_refused() -> None:
    b = ModelBuilder()
    model = b.model(b.op("MaxPool", b.image(), kernel_shape=[3, 3], pads=[0, 3, 0, 0], name="pool"))
    reason = "pads must be smaller than the dilated kernel 3, not (0, 3, 0, 0)"
    assert_refused(model, f"pool: inputs of MaxPool must fit, not (None, 3, 8, 8): {reason}")


@pytest.mark.parametrize("op", ["Resize", "Pad", "Conv", "ConvTranspose"])
def test_tensors_that_no_machine_holds_are_refused(op: str) -> None:
    b = ModelBuilder(("N", 1, 8, 8))
    if op == "Resize":
        x = b.op(op, b.image(), "", b.constant([1, 1, 1 << 14, 1 << 10]), name="large")
        numbers = 1 << 30
    elif op == "Pad":
        x = b.op(op, b.image(), b.constant([0, 0, 1 << 21, 0, 0, 0, -(1 << 21), 0], np.int64), name="large")
        numbers = 64 * ((1 << 21) + 1)
    else:
        window = {"dilations": [1 << 14, 1 << 14], "pads": [9000] * 4, "name": "large"}
        x = b.op(op, b.image(), b.weights(np.ones((1, 1, 2, 2))), **window)
        numbers = 18008**2 if op == "Conv" else ((1 << 14) + 8) ** 2
    found = str(numbers) + "; use smaller images, or export with a symbolic height and width"
    with pytest.raises(CompileError) as caught:
        after(b.model(x), "infer_shapes")
    sentence = str(caught.value)
    assert sentence.startswith(f"large: inputs of {op} must fit, not ")
    assert sentence.endswith(f": a tensor must have at most 134217728 numbers an image, not {found}")


def test_an_image_that_no_machine_holds_is_refused() -> None:
    b = ModelBuilder(("N", 3, 1 << 20, 1 << 20))
    assert_refused(
        b.model(b.image()),
        "image: a tensor must have at most 134217728 numbers an image, not 3298534883328; "
        "use smaller images, or export with a symbolic height and width",
    )


def test_the_arithmetic_of_shapes_is_that_of_few_axes() -> None:
    b = ModelBuilder()
    shape = b.op("Shape", "image")
    for _ in range(5):
        shape = b.op("Concat", shape, shape, axis=0, name="twice")
    with pytest.raises(CompileError, match=r"a shape must have at most 64 axes, not 128$"):
        after(b.model(b.op("Reshape", b.image(), shape)), "infer_shapes")
