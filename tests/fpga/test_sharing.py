# SPDX-License-Identifier: Apache-2.0
"""What outputs of constant weights share: always the same sums, and fewer of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlens.core.grid import Grid
from bitlens.fpga.sharing import Pair, Part, Shared, share_sums

GRIDS = [Grid.odd(1), Grid.odd(2), Grid.odd(4), Grid.ternary(), Grid.unsigned(2), Grid.signed(3), Grid.narrow(8)]


def weights_of(shared: Shared, inputs: int) -> np.ndarray:
    """The weights that the rows stand for, signal by signal."""
    signals: list[np.ndarray] = []
    for signal in shared.signals:
        sums = np.zeros(inputs, np.int64)
        if isinstance(signal, Part):
            sums[signal.first : signal.first + len(signal.weights)] = signal.weights
        else:
            sums = (signals[signal.a] << signal.a_shift) + signal.sign * (signals[signal.b] << signal.b_shift)
        signals.append(sums)
    zero = np.zeros(inputs, np.int64)
    return np.array([sum((sign * (signals[s] << shift) for s, shift, sign in row), zero) for row in shared.rows])


@given(
    grid=st.sampled_from(GRIDS),
    outputs=st.integers(1, 12),
    inputs=st.integers(1, 90),
    in_bits=st.integers(1, 8),
    radix=st.sampled_from([2, 3]),
    seed=st.integers(0, 99),
)
@settings(deadline=None)
def test_rows_are_the_weights(grid: Grid, outputs: int, inputs: int, in_bits: int, radix: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = grid.decode(rng.integers(0, grid.levels, (outputs, inputs))).astype(np.int64)
    shared = share_sums(weights, in_bits, radix)
    assert np.array_equal(weights_of(shared, inputs), weights)
    for part in shared.signals:
        if isinstance(part, Part):
            assert next(weight for weight in part.weights if weight) > 0
            assert any(weight % 2 for weight in part.weights)


def test_parts_that_differ_by_sign_or_power_of_two_are_one() -> None:
    shared = share_sums(np.array([[1, -3], [-1, 3], [4, -12], [3, 1]]), 2, 3)
    assert shared.signals == [Part(0, (1, -3)), Part(0, (3, 1))]
    assert shared.rows == [[(0, 0, 1)], [(0, 0, -1)], [(0, 2, 1)], [(1, 0, 1)]]


@pytest.mark.parametrize(("weight", "digits"), [(7, [(0, -1), (3, 1)]), (-3, [(0, 1), (2, -1)]), (0, [])])
def test_wide_inputs_are_multiplied_digit_by_digit(weight: int, digits: list[tuple[int, int]]) -> None:
    shared = share_sums(np.array([[weight]]), 8, 3)
    assert [(shift, sign) for _, shift, sign in shared.rows[0]] == digits


def test_a_pair_of_many_outputs_is_added_once() -> None:
    weights = np.ones((9, 4), np.int64)
    shared = share_sums(weights, 4, 3)  # an input is a part: no table holds two
    assert sum(isinstance(signal, Pair) for signal in shared.signals) == 3
    assert {len(row) for row in shared.rows} == {1}
