# SPDX-License-Identifier: Apache-2.0
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlens.core.bounds import conv_bounds
from bitlens.core.grid import Grid

GRIDS = [Grid.unsigned(2), Grid.signed(2), Grid.bipolar(), Grid.ternary(), Grid(1, 3)]


@given(st.integers(0, 1 << 30), st.sampled_from(GRIDS), st.booleans())
def test_bounds_are_reached_and_never_passed(seed: int, grid: Grid, padded: bool) -> None:
    weights = np.random.default_rng(seed).integers(-5, 6, (1, 1, 1, 3))
    values = [*grid.values(), 0] if padded else [*grid.values()]
    sums = [int(weights.ravel() @ np.array(x)) + 4 for x in itertools.product(values, repeat=3)]
    lo, hi = conv_bounds(weights, grid, [4], padded=padded)
    assert (lo.item(), hi.item()) == (min(sums), max(sums))


def test_sums_that_might_overflow_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^sums must stay below 2\^62, not reach 4611686018427387904 times 2$"):
        conv_bounds(np.full((1, 2), 1 << 31), Grid.span(-(1 << 31), 0))
