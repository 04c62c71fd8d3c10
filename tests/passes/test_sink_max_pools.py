# SPDX-License-Identifier: Apache-2.0
"""Every compile here is verified against the model, so it is enough to look at where the pool went."""

import numpy as np
import pytest

import bitlens
from bitlens.core.reference import Abs, Clip, LeakyRelu, Multiply, Sigmoid
from bitlens.passes.sink_max_pools import slope_signs
from qonnx_models import ModelBuilder
from stages import assert_refused

_WEIGHTS = np.random.default_rng(0).integers(-7, 8, (4, 3, 3, 3))


def _net(*operators: str, gamma: object = (1, -1, 2, 0), pad: int = 0) -> ModelBuilder:
    """conv, batch norm, pool, then the operators; the last tensor is `b.nodes[-1].output[0]`."""
    b = ModelBuilder()
    x = b.conv(b.image(), _WEIGHTS, pads=[1, 1, 1, 1])
    x = b.batch_norm(x, gamma, [0.1, 0.2, 0.3, 0.4], np.zeros(4), np.full(4, 20.0))
    x = b.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2], pads=[pad] * 4, name="pool")
    for op in operators:
        x = b.op(op, x)
    b.quant(x, 1 / 3, 2, rounding_mode="HALF_UP")
    return b


def _ops(b: ModelBuilder) -> list[str]:
    return [node.op for node in bitlens.compile(b.model(b.nodes[-1].output[0])).graph]


@pytest.mark.parametrize("pad", [0, 1])
def test_a_pool_moves_behind_a_rising_quantizer(pad: int) -> None:
    assert _ops(_net("Relu", pad=pad)) == ["conv", "steps", "max_pool"]


def test_a_pool_in_front_of_abs_works_on_sums() -> None:
    b = _net("Abs")
    program = bitlens.compile(b.model(b.nodes[-1].output[0]))
    assert [node.op for node in program.graph] == ["conv", "max_pool", "steps"]
    turned = program.graph.nodes[0].attrs["weights"].transpose(0, 3, 1, 2)
    assert np.array_equal(turned[[0, 2, 3]], _WEIGHTS[[0, 2, 3]])
    assert np.array_equal(turned[1], -_WEIGHTS[1])  # its slope falls


def test_a_pool_of_a_pool() -> None:
    b = ModelBuilder()
    x = b.conv(b.image(), _WEIGHTS)
    for _ in range(2):
        x = b.op("MaxPool", x, kernel_shape=[2, 2], strides=[1, 1])
    assert [node.op for node in bitlens.compile(b.model(b.quant(x, 0.5, 3))).graph] == [
        "conv", "steps", "max_pool", "max_pool",
    ]  # fmt: skip
    assert "max_pool" in [node.op for node in bitlens.compile(b.model(x)).graph]


def test_sums_that_others_read_are_computed_twice_when_turned() -> None:
    b = ModelBuilder()
    x = b.conv(b.image(), _WEIGHTS)
    low = b.op("MaxPool", b.op("Neg", x), kernel_shape=[2, 2])
    program = bitlens.compile(b.model(b.quant(b.op("Abs", low), 0.5, 3), b.quant(x, 0.5, 3)))
    assert sorted(node.op for node in program.graph) == ["conv", "conv", "max_pool", "steps", "steps"]


def test_a_whole_bias_is_turned_with_its_weights() -> None:
    b = ModelBuilder(("N", 1, 4, 4))
    unit = np.float32(1 / 255) * np.float32(0.25)
    bias = b.quant(b.constant([3 * unit]), unit, 32, 1, 1)
    low = b.op("Neg", b.conv(b.image(), np.ones((1, 1, 1, 1)), bias))
    x = b.op("Abs", b.op("MaxPool", low, kernel_shape=[2, 2]))
    program = bitlens.compile(b.model(b.quant(x, 0.1, 3)))
    assert program.graph.nodes[0].attrs["bias"].tolist() == [-3]


def test_a_pool_of_integers_stays() -> None:
    b = ModelBuilder()
    x = b.op("MaxPool", b.image(), kernel_shape=[2, 2])
    assert [node.op for node in bitlens.compile(b.model(x)).graph] == ["max_pool"]


def test_slopes_of_operators() -> None:
    assert slope_signs(Multiply(np.array([2, 0, -1], np.float32))).tolist() == [1, 0, -1]  # type: ignore[union-attr]
    assert slope_signs(Clip(0, 1)) == 1
    assert slope_signs(LeakyRelu(np.float32(-0.1))) is None
    assert slope_signs(Abs()) is None
    assert slope_signs(Sigmoid()) is None


def test_a_chain_that_turns_back_in_front_of_the_pool_is_refused() -> None:
    b = ModelBuilder()
    x = b.op("Abs", b.conv(b.image(), _WEIGHTS))
    x = b.op("Abs", b.op("MaxPool", x, kernel_shape=[2, 2], name="pool"))
    assert_refused(
        b.model(b.quant(x, 1, 2)),
        "pool: what stands between the sum and the max pool must rise or fall, not turn back; "
        "pool before the activation, or quantize before the pool",
    )


def test_weights_without_the_other_sign_are_refused() -> None:
    b = ModelBuilder()
    weights = b.quant(b.constant(np.full((1, 3, 1, 1), -8.0)), 1, 4, 1, 0)
    x = b.op("MaxPool", b.op("Neg", b.op("Conv", b.image(), weights, name="conv")), kernel_shape=[2, 2])
    assert_refused(
        b.model(b.quant(b.op("Abs", x), 1, 2)),
        "conv: weights of channels with a falling slope must be on signed 4 with either sign, "
        "for the max pool behind; use narrow weights",
    )


def test_a_falling_chain_of_other_integers_is_refused() -> None:
    b = ModelBuilder()
    x = b.op("Neg", b.quant(b.image(), 0.5, 4))
    x = b.op("MaxPool", x, kernel_shape=[2, 2], name="pool")
    assert_refused(
        b.model(b.quant(b.op("Abs", x), 1, 2)),
        "pool: what is pooled must rise with the sum in every channel, not fall; "
        "put a convolution or a quantizer in front, or make the batch norm's slopes positive",
    )
