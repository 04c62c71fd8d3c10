# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from onnx import numpy_helper

import bitlens
from qonnx_models import ModelBuilder
from stages import after, assert_refused, only


@pytest.mark.parametrize(
    ("mode", "pads"),
    [("SAME_UPPER", (0, 1, 1, 1)), ("SAME_LOWER", (1, 1, 0, 1)), ("VALID", (0, 0, 0, 0))],
)
def test_automatic_padding_becomes_numbers(mode: str, pads: tuple[int, ...]) -> None:
    b = ModelBuilder(("N", 1, 6, 6))
    x = b.conv(b.image(), np.ones((1, 1, 3, 3)), strides=[2, 1], auto_pad=mode)
    node = only(after(b.model(x), "unify_operators"), "Conv")
    assert node.attrs["pads"] == pads
    assert node.attrs["kernel_shape"] == (3, 3)
    assert node.attrs["dilations"] == (1, 1)


def test_what_changes_nothing_goes() -> None:
    b = ModelBuilder()
    x = b.op("Dropout", b.op("Identity", b.image()), outputs=2)
    x = b.op("Transpose", b.op("Cast", x, to=1), perm=[0, 1, 2, 3])
    x = b.op("Reshape", x, b.constant([-1, 3, 8, 8], np.int64))
    graph = after(b.model(b.conv(x, np.ones((1, 3, 1, 1)))), "unify_operators")
    assert [node.op for node in graph] == ["Quant", "Conv"]


@pytest.mark.parametrize("op", ["Flatten", "Reshape", "Squeeze"])
def test_flattening_has_one_spelling(op: str) -> None:
    b = ModelBuilder(("N", 4, 1, 1))
    extra = {"Flatten": [], "Reshape": [b.constant([0, 4], np.int64)], "Squeeze": [b.constant([2, 3], np.int64)]}
    flat = b.op(op, b.image(), *extra[op])
    graph = after(b.model(b.op("Gemm", flat, b.weights(np.ones((2, 4))), transB=1)), "unify_operators")
    node = only(graph, "Reshape")
    assert (node.attrs, len(node.inputs)) == ({}, 1)


@pytest.mark.parametrize("keep", [0, 1])
def test_a_mean_over_the_map_is_an_average_pool(keep: int) -> None:
    b = ModelBuilder(("N", 4, 5, 6))
    mean = b.op("ReduceMean", b.image(), axes=[-1, 2], keepdims=keep)
    flat = b.op("Flatten", mean) if keep else mean
    graph = after(b.model(b.op("Gemm", flat, b.weights(np.ones((2, 4))), transB=1)), "unify_operators")
    assert only(graph, "AveragePool").attrs["kernel_shape"] == (5, 6)
    assert graph.value(only(graph, "AveragePool").output).shape == (None, 4, 1, 1)
    assert graph.value(only(graph, "Reshape").output).shape == (None, 4)


def test_dropout_in_training_is_refused() -> None:
    b = ModelBuilder()
    x = b.op("Dropout", b.image(), b.constant(0.5), b.constant(True, np.bool_), name="drop")
    assert_refused(b.model(x), "drop: training_mode must be false, not true; export the model in eval mode")


def test_a_mask_that_is_read_is_refused() -> None:
    b = ModelBuilder()
    x = b.op("Dropout", b.image(), name="drop", outputs=2)
    model = b.model(b.op("Mul", x, f"{x}.1"))
    assert_refused(
        model, "drop: only the first result of Dropout must be read; replace the operator, or cut the model before it"
    )


def test_a_cast_of_features_to_integers_is_refused() -> None:
    b = ModelBuilder()
    model = b.model(b.op("Cast", b.image(), to=6, name="whole"))
    assert_refused(model, "whole: Cast must be to FLOAT (1), not to type 6; use a Quant operator")


def test_a_mean_over_channels_is_refused() -> None:
    b = ModelBuilder()
    model = b.model(b.op("ReduceMean", b.image(), axes=[1], name="mean"))
    assert_refused(model, "mean: axes of ReduceMean must be height and width, not [1] of 4")


def test_a_global_pool_of_a_symbolic_map_is_refused() -> None:
    b = ModelBuilder(("N", 3, "H", "W"))
    model = b.model(b.op("GlobalAveragePool", b.image(), name="pool"))
    assert_refused(
        model,
        "pool: map of GlobalAveragePool must have a fixed height and width, not (None, 3, None, None); "
        "export with a fixed size",
    )


def test_same_padding_of_a_symbolic_map_is_refused() -> None:
    b = ModelBuilder(("N", 1, "H", "W"))
    model = b.model(b.conv(b.image(), np.ones((1, 1, 3, 3)), strides=[2, 2], auto_pad="SAME_UPPER"))
    assert_refused(model, "conv: pads must be numbers where the size is symbolic, not SAME_UPPER; export explicit pads")


def test_an_unknown_padding_is_refused() -> None:
    b = ModelBuilder()
    model = b.model(b.conv(b.image(), np.ones((1, 3, 1, 1)), auto_pad="SOME"))
    assert_refused(model, "conv: auto_pad must be NOTSET, VALID, SAME_UPPER or SAME_LOWER, not SOME")


def test_a_mean_without_its_axes_may_be_an_output() -> None:
    b = ModelBuilder(("N", 4, 6, 6))
    output = b.op("ReduceMean", b.image(), axes=[2, 3], keepdims=0)
    images = np.random.default_rng(0).integers(0, 256, (2, 6, 6, 4))
    found = bitlens.compile(b.model(output)).run(images)[output]
    assert np.array_equal(found, images.sum(axis=(1, 2), keepdims=True))


@pytest.mark.parametrize("pads", [(1, 1, 1, 1), (0, 2, 3, 0)])
def test_padding_wider_than_the_window_is_zeros_around_the_map(pads: tuple[int, ...]) -> None:
    b = ModelBuilder(("N", 2, 4, 5))
    output = b.conv(b.image(), np.full((1, 2, 1, 1), 3), pads=pads)
    program = bitlens.compile(b.model(output))
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 2))
    top, left, bottom, right = pads
    want = np.pad(3 * images.sum(axis=3, keepdims=True), ((0, 0), (top, bottom), (left, right), (0, 0)))
    assert [node.op for node in program.graph] == ["upsample", "conv"]
    assert np.array_equal(program.run(images)[output], want)


@pytest.mark.parametrize("keep", [0, 1])
def test_a_maximum_over_the_map_is_a_max_pool(keep: int) -> None:
    b = ModelBuilder(("N", 4, 5, 6))
    output = b.op("ReduceMax", b.image(), axes=[-1, 2], keepdims=keep)
    program = bitlens.compile(b.model(output))
    images = np.random.default_rng(0).integers(0, 256, (2, 5, 6, 4))
    assert [node.op for node in program.graph] == ["max_pool"]
    assert np.array_equal(program.run(images)[output], images.max(axis=(1, 2), keepdims=True))


def test_pads_written_as_exporters_compute_them() -> None:
    b = ModelBuilder(("N", 2, 4, 5))
    zeros = b.op("ConstantOfShape", b.constant([4], np.int64), value=numpy_helper.from_array(np.zeros(1, np.int64)))
    pads = b.op("Concat", b.constant([0, 2, 0, 1], np.int64), zeros, axis=0)
    pads = b.op("Reshape", pads, b.constant([-1, 2], np.int64))
    pads = b.op("Slice", pads, *(b.constant([n], np.int64) for n in (-1, -1000, 0, -1)))
    pads = b.op("Reshape", b.op("Transpose", pads, perm=[1, 0]), b.constant([-1], np.int64))
    x = b.op("Pad", b.image(), b.op("Cast", pads, to=7), b.constant(0.0), mode="constant")
    program = bitlens.compile(b.model(b.conv(x, np.ones((1, 2, 3, 3)))))
    assert program.graph.nodes[0].attrs["pads"] == (0, 0, 1, 2)
