# SPDX-License-Identifier: Apache-2.0
"""Rescales of the least shift beside the ones they replace, for every integer that can come."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlens.core.grid import Grid
from bitlens.fpga.rescales import least_rescale

GRIDS = (Grid.signed(8), Grid.unsigned(8), Grid.span(-3, 5), Grid.unsigned(2))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 32), st.integers(1, 5), st.integers(1, 2000), st.sampled_from(GRIDS))
def test_nothing_changes(seed: int, channels: int, reach: int, grid: Grid) -> None:
    rng = np.random.default_rng(seed)
    lo, hi = -int(rng.integers(0, reach + 1)), reach
    shift = rng.integers(0, 30, channels)
    slope = rng.uniform(-1.5, 1.5, channels) * grid.hi / reach * 2.0**shift
    multiplier, addend = np.rint(slope).astype(np.int64), rng.integers(-5, 6, channels) << shift
    found = least_rescale(multiplier, addend, shift, lo, hi, grid)
    assert found is not None
    x = np.arange(lo, hi + 1)[:, None]
    before = np.clip((x * multiplier + addend) >> shift, grid.lo, grid.hi)
    assert np.array_equal(np.clip((x * found[0] + found[1]) >> found[2], grid.lo, grid.hi), before)
    assert found[2] <= shift.max()


def test_what_only_clamps_multiplies_by_one() -> None:
    one = np.array([1 << 29])
    found = least_rescale(one, np.array([5]), np.array([29]), -256, 254, Grid.signed(8))
    assert found is not None
    assert [*found[0], *found[1], found[2]] == [1, 0, 0]


def test_a_falling_channel_falls() -> None:
    found = least_rescale(np.array([-(1 << 28)]), np.array([0]), np.array([29]), -100, 100, Grid.signed(8))
    assert found is not None
    assert (int(found[0][0]), found[2]) == (-1, 1)


def test_more_than_60_bits_are_refused() -> None:
    wide = np.array([3, (1 << 29) + 1]), np.array([0, 0]), np.array([0, 44])
    assert least_rescale(*wide, -(1 << 30), 1 << 30, Grid.signed(16)) is None
