# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

import bitlens
from qonnx_models import ModelBuilder
from stages import assert_refused


def _scores(b: ModelBuilder) -> str:
    return b.op("Gemm", b.image(), b.weights(np.arange(6).reshape(2, 3)), transB=1, name="fc")


def test_a_tail_is_named_and_stays_outside() -> None:
    b = ModelBuilder(("N", 3))
    tail = b.op("ArgMax", b.op("Softmax", _scores(b), axis=1), axis=1)
    program = bitlens.compile(b.model(tail))
    assert program.metadata["tail"] == f"{tail}: softmax\n{tail}: argmax"
    assert [node.op for node in program.graph] == ["conv"]
    assert program.run(np.array([[[[1, 2, 3]]]]))[tail].tolist() == [[[[8, 26]]]]


def test_a_tail_of_an_output_leaves_that_output() -> None:
    b = ModelBuilder(("N", 3))
    scores = _scores(b)
    tail = b.op("ArgMax", scores, axis=1)
    program = bitlens.compile(b.model(scores, tail))
    assert [*program.run(np.zeros((1, 1, 1, 3), int))] == [scores]
    assert program.metadata["tail"] == f"{tail}: argmax"


def test_a_softmax_in_the_middle_is_refused() -> None:
    b = ModelBuilder(("N", 3))
    x = b.op("Softmax", _scores(b), axis=1, name="soft")
    model = b.model(b.op("Gemm", b.quant(x, 1 / 255, 8), b.weights(np.ones((2, 2)))))
    assert_refused(
        model,
        "soft: operator must have an integer form here, not be Softmax of computed tensors; "
        "replace the operator, or cut the model before it, or run it in float on the host with --float-islands",
    )


@pytest.mark.parametrize("opset", [9, 17])
def test_both_results_of_a_top_k_are_one_tail(opset: int) -> None:
    b = ModelBuilder(("N", 3))
    scores = _scores(b)
    if opset < 10:
        values = b.op("TopK", scores, k=2, axis=-1, outputs=2)
    else:
        values = b.op("TopK", scores, b.constant([2], np.int64), outputs=2)
    program = bitlens.compile(b.model(values, f"{values}.1", opset=opset))
    assert program.metadata["tail"] == f"{values}: topk\n{values}.1: topk"
    assert program.run(np.array([[[[1, 2, 3]]]]))[values].tolist() == [[[[8, 26]]]]


def test_places_of_a_top_k_alone_keep_their_name() -> None:
    b = ModelBuilder(("N", 3))
    values = b.op("TopK", _scores(b), b.constant([2], np.int64), outputs=2)
    places = b.op("Cast", f"{values}.1", to=6, name="places")
    assert [*bitlens.compile(b.model(places)).run(np.zeros((1, 1, 1, 3), int))] == [places]


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax", "Hardmax", "Sigmoid"])
def test_what_only_moves_the_results_of_a_tail_goes_too(op: str) -> None:
    b = ModelBuilder(("N", 3))
    x = b.op(op, _scores(b), **({} if op == "Sigmoid" else {"axis": 1}))
    x = b.op("Reshape", x, b.constant([-1, 2, 1], np.int64))
    x = b.op("Squeeze", x, b.constant([2], np.int64))
    program = bitlens.compile(b.model(x))
    assert program.metadata["tail"] == f"{x}: {op.lower()}\n{x}: reshape\n{x}: squeeze"
    assert [node.op for node in program.graph] == ["conv"]


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("last", [False, True])
def test_classes_of_pixels(keep: int, last: bool) -> None:
    b = ModelBuilder(("N", 2, 4, 4))
    x = b.conv(b.image(), np.arange(6).reshape(3, 2, 1, 1))
    if last:
        x = b.op("Transpose", x, perm=[0, 2, 3, 1])
    x = b.op("ArgMax", x, axis=3 if last else 1, keepdims=keep)
    program = bitlens.compile(b.model(b.op("Cast", x, to=6)))
    assert [node.op for node in program.graph] == ["conv"]
    assert program.graph.value(program.graph.outputs[0]).shape == (4, 4, 3)


def test_moves_at_the_end_of_a_model_without_a_tail_stay() -> None:
    b = ModelBuilder(("N", 2, 2, 2))
    x = b.op("Flatten", b.conv(b.image(), np.ones((1, 2, 1, 1))), name="flat")
    assert_refused(
        b.model(x),
        "flat: reshape must flatten a map in front of a matrix product, not turn (None, 1, 2, 2) into (None, 4); "
        "quantize behind it, per tensor",
    )
