# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

import bitlens
from bitlens.core.reference import Fork
from bitlens.graph.execute import execute
from bitlens.qonnx.read import read
from qonnx_models import ModelBuilder
from stages import after


def _summed(b: ModelBuilder) -> str:
    x = b.conv(b.image(), np.random.default_rng(0).integers(-9, 10, (3, 2, 3, 3)))
    return b.batch_norm(x, [0.7, -0.4, 1.1], [0.1, 0.2, -0.3], [1.0, 0.0, 2.0], [30.0, 20.0, 10.0])


def _silu(b: ModelBuilder, x: str) -> str:
    return b.op("Mul", x, b.op("Sigmoid", x))


def _hard_swish(b: ModelBuilder, x: str) -> str:
    bounded = b.op("Clip", b.op("Add", x, b.constant(3.0)), b.constant(0.0), b.constant(6.0))
    return b.op("Div", b.op("Mul", x, bounded), b.constant(6.0))


def _two_functions(b: ModelBuilder, x: str) -> str:
    return b.op("Mul", b.op("Tanh", x), b.op("Relu", b.op("Neg", x)))


@pytest.mark.parametrize("make", [_silu, _hard_swish, _two_functions])
def test_a_product_of_two_functions_of_one_tensor_is_a_table(make: object) -> None:
    b = ModelBuilder(("N", 2, 6, 6))
    x = b.quant(make(b, _summed(b)), 0.1, 4, 1)  # type: ignore[operator]
    model, image = b.model(x), np.random.default_rng(1).integers(0, 256, (4, 2, 6, 6))
    program = bitlens.compile(model)
    assert [node.op for node in program.graph] == ["conv", "steps"]
    wanted = execute(read(model), {"image": (image / 255).astype(np.float32)})[x].integers
    (found,) = bitlens.Session(program).run(image.transpose(0, 2, 3, 1)).values()
    assert np.array_equal(found.transpose(0, 3, 1, 2), wanted)
    assert np.ptp(found) > 3


def test_products_of_straight_lines_and_of_two_tensors_are_left() -> None:
    b = ModelBuilder(("N", 2, 6, 6))
    x = b.image()
    straight = b.op("Mul", x, b.op("Mul", x, b.constant(0.5)))
    other = b.op("Mul", b.quant(b.op("Sigmoid", _summed(b)), 0.1, 4), b.quant(_summed(b), 0.1, 4, 1))
    graph = after(b.model(straight, other), "join_forks")
    assert [node.op for node in graph.nodes].count("Mul") == 2
    assert not any(isinstance(op, Fork) for node in graph.nodes if node.op == "chain" for op in node.attrs["chain"])
