# SPDX-License-Identifier: Apache-2.0
import numpy as np

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
        "replace the operator, or cut the model before it",
    )
