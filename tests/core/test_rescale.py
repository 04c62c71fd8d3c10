# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlens.core.grid import Grid
from bitlens.core.reference import Clip, Multiply, Quantize
from bitlens.core.rescale import Rescale, find_rescale
from bitlens.core.steps import StepTable, find_steps

f = np.float32


@given(
    st.floats(-0.03125, 0.03125, width=32), st.sampled_from([5, 6, 7, 8]), st.integers(-3000, 100), st.integers(1, 5000)
)
@settings(deadline=None, max_examples=60)
def test_a_found_rescale_equals_the_table_everywhere(scale: float, bits: int, lo: int, length: int) -> None:
    grid = Grid.unsigned(bits)
    chain = (Multiply(f(scale)), Clip(0, 1), Quantize(f(1 / grid.hi), f(0), 0, grid.hi, "HALF_UP"))
    table = find_steps(chain, np.array([lo]), np.array([lo + length]))
    found = find_rescale(table, lo, lo + length, grid)
    if found is not None:
        x = np.arange(lo, lo + length + 1)[:, None]
        assert np.array_equal(found.apply(x), table.apply(x))


@pytest.mark.parametrize("bits", [5, 8, 16])
def test_plain_rescaling_is_found(bits: int) -> None:
    grid = Grid.unsigned(bits)
    slopes = np.array([0.37, -1 / 3, 0.25, 0], f)  # rising, falling, constant
    chain = (Multiply(slopes), Quantize(f(1), f(0), 0, grid.hi, "HALF_UP"))
    lo, hi = np.full(4, -40_000), np.full(4, 40_000)
    table = find_steps(chain, lo, hi)
    found = find_rescale(table, lo, hi, grid)
    assert found is not None
    x = np.arange(-40_000, 40_001)[:, None] + np.zeros(4, np.int64)
    assert np.array_equal(found.apply(x), table.apply(x))


def test_constant_rows_need_no_multiplier() -> None:
    table = StepTable(np.zeros((1, 0), np.int64), np.array([[7]]))
    found = find_rescale(table, -5, 5, Grid.unsigned(8))
    assert found is not None
    assert found.apply([[-5], [5]]).ravel().tolist() == [7, 7]


def test_non_monotone_or_uneven_rows_have_none() -> None:
    grid = Grid.unsigned(8)
    assert find_rescale(StepTable(np.array([[1, 2]]), np.array([[1, 0, 1]])), -5, 5, grid) is None
    assert find_rescale(StepTable(np.array([[1, 2, 900]]), np.array([[0, 1, 2, 3]])), -5, 999, grid) is None
    assert find_rescale(StepTable(np.array([[1]]), np.array([[-1, 1]])), -5, 5, Grid.bipolar()) is None


def test_merging() -> None:
    two = np.array([2, 2])
    assert len(Rescale(two, two, two, Grid.unsigned(8)).merged().shift) == 1
    assert len(Rescale(two, np.array([1, 2]), two, Grid.unsigned(8)).merged().shift) == 2
