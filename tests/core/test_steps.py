# SPDX-License-Identifier: Apache-2.0
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlens.core.reference import Abs, BatchNorm, Chain, Clip, LeakyRelu, Multiply, Quantize, Relu, Sigmoid, evaluate
from bitlens.core.steps import NEVER, StepsError, StepTable, find_steps

f = np.float32


@st.composite
def chains(draw: st.DrawFn) -> Chain:
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    channels, bits = 4, draw(st.integers(1, 6))
    gamma = rng.normal(size=channels).astype(f)
    gamma[0] = draw(st.sampled_from([0.0, 1.0, -1.0]))
    bn = BatchNorm(
        gamma, rng.normal(0.4, 0.3, channels).astype(f), rng.normal(size=channels).astype(f),
        rng.random(channels).astype(f), 1e-5,
    )  # fmt: skip
    bound = draw(st.sampled_from([(Clip(0, 1),), (Abs(), Clip(0, 1)), (Relu(),), (LeakyRelu(f(-0.3)),), (Sigmoid(),)]))
    rounding = draw(st.sampled_from(["HALF_UP", "ROUND", "FLOOR", "CEIL"]))
    return (Multiply(f(0.01)), bn, *bound, Quantize(f(1 / (2**bits - 1)), f(0), 0, 2**bits - 1, rounding))


@given(chains(), st.integers(-900, 500), st.integers(0, 1500))
@settings(deadline=None, max_examples=60)
def test_a_table_equals_its_chain_everywhere(chain: Chain, lo: int, length: int) -> None:
    table = find_steps(chain, np.full(4, lo), np.full(4, lo + length))
    x = np.arange(lo, lo + length + 1)[:, None] + np.zeros(4, np.int64)
    assert np.array_equal(table.apply(x), evaluate(chain, x))
    assert np.all(np.diff(table.breakpoints, axis=1) >= 0)


def test_sign_jumps_by_two() -> None:
    table = find_steps((Quantize(f(1), f(0), -1, 1, "SIGN"),), np.array([-5]), np.array([5]))
    assert table.breakpoints.tolist() == [[0]]
    assert table.values.tolist() == [[-1, 1]]


def test_channels_with_fewer_breakpoints_end_in_never() -> None:
    chain = (Multiply(np.array([1, 0, -1], f)), Quantize(f(2), f(0), 0, 2, "HALF_UP"))
    table = find_steps(chain, np.full(3, -9), np.full(3, 9))
    assert table.breakpoints.tolist() == [[1, 3], [NEVER, NEVER], [-2, 0]]
    assert table.values.tolist() == [[0, 1, 2], [0, 0, 0], [2, 1, 0]]


@given(st.integers(0, 1 << 30), st.sampled_from([0, 1, 3, 39, 40, 41, 300]))
def test_both_ways_of_applying_agree(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    breakpoints = np.sort(rng.integers(-50, 50, (3, count)), axis=1)
    values = rng.integers(-9, 9, (3, count + 1))
    x = rng.integers(-60, 60, (20, 3))
    expected = [[values[c][(breakpoints[c] <= v).sum()] for c, v in enumerate(row)] for row in x]
    assert StepTable(breakpoints, values).apply(x).tolist() == expected
    assert StepTable(breakpoints[:1], values[:1]).apply(x[:, :1]).ravel().tolist() == [row[0] for row in expected]


def test_merging_and_shifting() -> None:
    table = StepTable(np.array([[1, 2], [1, 2]]), np.array([[0, 1, 2], [0, 1, 2]]))
    assert table.merged().breakpoints.shape == (1, 2)
    assert table.shifted(-3).values.tolist() == [[-3, -2, -1]] * 2
    other = StepTable(np.array([[1, 2], [1, 3]]), table.values)
    assert other.merged() is other


@pytest.mark.parametrize(
    ("chain", "hi", "sentence"),
    [
        ((Relu(),), 5, "steps: the chain must end in a quantizer"),
        (
            (Abs(), Quantize(f(1), f(0), 0, 3, "ROUND")),
            1 << 32,
            "steps: a chain that is not proven monotone must have at most 4294967296 accumulator values to scan, "
            "not 4294967297",
        ),
    ],
)
def test_errors(chain: Chain, hi: int, sentence: str) -> None:
    with pytest.raises(StepsError, match=f"^{re.escape(sentence)}$"):
        find_steps(chain, np.array([0]), np.array([hi]))
