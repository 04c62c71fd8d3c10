# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

import bitlens
from qonnx_models import ModelBuilder
from stages import assert_refused


def test_joins_of_branches_with_one_scale() -> None:
    b = ModelBuilder(("N", 2, 4, 4))
    x, y = (b.quant(b.image(), 1 / 16, 5, 1, name=f"q{i}", rounding_mode=m) for i, m in enumerate(("ROUND", "FLOOR")))
    program = bitlens.compile(b.model(b.op("Add", x, y, name="sum"), b.op("Concat", x, y, axis=-3, name="both")))
    assert [node.op for node in program.graph] == ["rescale", "rescale", "add", "concat"]
    assert program.graph.value("both").shape == (4, 4, 4)
    assert str(program.graph.value("sum").grid) == "-32..30"


def test_a_concat_of_one_is_nothing() -> None:
    b = ModelBuilder(("N", 2))
    x = b.op("Concat", b.image(), axis=1)
    (node,) = bitlens.compile(b.model(b.op("Gemm", x, b.weights(np.ones((1, 2))), transB=1))).graph
    assert node.op == "conv"


def test_a_concat_along_the_map_is_refused() -> None:
    b = ModelBuilder(("N", 2, 4, 4))
    x = b.image()
    assert_refused(
        b.model(b.op("Concat", x, x, axis=2, name="tall")), "tall: axis of Concat must be 1 (channels), not 2"
    )


def test_a_sum_of_two_shapes_is_refused() -> None:
    b = ModelBuilder(("N", 2, 4, 4))
    x = b.image()
    y = b.op("MaxPool", x, kernel_shape=[4, 4])
    assert_refused(
        b.model(b.op("Add", x, y, name="sum")),
        "sum: operands of Add must have one shape, not (None, 2, 4, 4) and (None, 2, 1, 1)",
    )


@pytest.mark.parametrize("op", ["Div", "Max"])
def test_other_operators_of_two_computed_tensors_are_refused(op: str) -> None:
    b = ModelBuilder(("N", 2, 4, 4))
    x = b.image()
    assert_refused(
        b.model(b.quant(b.op(op, x, x, name="it"), 1, 8)),
        f"it: operator must have an integer form here, not be {op} of computed tensors; "
        "replace the operator, or cut the model before it",
    )
