# SPDX-License-Identifier: Apache-2.0
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlens.core.grid import Grid, GridError

NAMES = ["bipolar", "ternary", "unsigned 1", "unsigned 8", "signed 1", "signed 8", "narrow 8", "odd 2", "odd 8"]


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    step = draw(st.sampled_from([1, 2]))
    lo = draw(st.integers(-(1 << 20), 1 << 20))
    return Grid(lo, lo + step * draw(st.integers(0, 300)), step)


@given(grids())
def test_codes_count_the_integers_of_a_grid(grid: Grid) -> None:
    assert grid.encode(grid.values()).tolist() == list(range(grid.levels))
    assert grid.decode(np.arange(grid.levels)).tolist() == grid.values().tolist()
    assert grid.levels <= 1 << grid.bits
    assert grid.bits == 1 or grid.levels > 1 << (grid.bits - 1)


@given(grids(), st.integers(-(1 << 21), 1 << 21))
def test_contains_is_membership(grid: Grid, integer: int) -> None:
    assert grid.contains(integer) == (integer in grid.values())


@given(grids(), grids())
def test_covers_is_inclusion(one: Grid, other: Grid) -> None:
    assert one.covers(other) == set(other.values()).issubset(one.values())


@pytest.mark.parametrize(
    ("name", "integers"),
    [
        ("bipolar", [-1, 1]),
        ("ternary", [-1, 0, 1]),
        ("odd 2", [-3, -1, 1, 3]),
        ("unsigned 2", [0, 1, 2, 3]),
        ("signed 2", [-2, -1, 0, 1]),
        ("narrow 3", [-3, -2, -1, 0, 1, 2, 3]),
        ("signed 1", [-1, 0]),
    ],
)
def test_named_grids(name: str, integers: list[int]) -> None:
    assert Grid.parse(name).values().tolist() == integers


@pytest.mark.parametrize("name", NAMES)
def test_names_are_read_back(name: str) -> None:
    assert str(Grid.parse(name)) == name


def test_a_grid_without_a_name_shows_its_ends() -> None:
    assert str(Grid.span(-300, 17)) == "-300..17"
    assert str(Grid(-5, 7, 2)) == "-5..7 by 2"


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Grid(0, 4, 3), "grid: step must be 1 or 2, not 3"),
        (lambda: Grid(0, 3, 2), "grid: hi must be a whole number of steps above lo, not [0, 3] by 2"),
        (lambda: Grid(0, 1 << 31), "grid: [0, 2147483648] must lie within 32 signed bits"),
        (lambda: Grid.odd(0), "grid: bits must be 1 to 16, not 0"),
        (lambda: Grid.narrow(1), "grid: bits must be 2 to 16, not 1"),
        (lambda: Grid.odd(2).encode([2]), "grid: every integer must be on odd 2"),
        (lambda: Grid.odd(2).decode([4]), "grid: codes must be in 0..3 for odd 2"),
        (
            lambda: Grid.parse("even 2"),
            'grid: name must be one of "unsigned BITS", "signed BITS", "narrow BITS", "odd BITS", "bipolar", "ternary", '
            'not "even 2"',
        ),
    ],
)
def test_errors(make: object, sentence: str) -> None:
    with pytest.raises(GridError, match=f"^{re.escape(sentence)}$"):
        make()  # type: ignore[operator]


@pytest.mark.parametrize("bits", ["²", "٢", "２", "+2", "-2", "1_0", "9" * 5000])
def test_bits_are_a_few_digits_0_to_9(bits: str) -> None:
    with pytest.raises(GridError, match=f'^grid: name must be one of .*, not "odd {re.escape(bits)}"$'):
        Grid.parse(f"odd {bits}")


def test_zero() -> None:
    assert Grid.ternary().has_zero
    assert not Grid.bipolar().has_zero
    assert not Grid(1, 5).has_zero


def test_empty_arrays_are_on_every_grid() -> None:
    assert Grid.bipolar().contains([])
