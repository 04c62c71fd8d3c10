# SPDX-License-Identifier: Apache-2.0
"""The stages' memories hold the step table."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlens.core.grid import Grid
from bitlens.core.steps import NEVER
from bitlens.fpga.bisection import bisection, stages_of
from bitlens.fpga.folding import Fold
from bitlens.fpga.lower import lower_program
from bitlens.fpga.models import model
from bitlens.fpga.models.lanes import join_lanes, split_lanes
from bitlens.fpga.network import Element, FpgaError
from programs import Builder


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1 << 32), st.integers(1, 3), st.integers(1, 3), st.integers(1, 70), st.booleans())
def test_a_search_finds_the_value(seed: int, lanes: int, folds: int, levels: int, counts: bool) -> None:
    rng, rows = np.random.default_rng(seed), lanes * folds
    breakpoints = np.sort(rng.integers(-500, 501, (rows, levels)), axis=1)
    breakpoints[:, levels - int(rng.integers(0, levels)) :] = NEVER
    values = (
        np.broadcast_to(np.arange(levels + 1) - 8, (rows, levels + 1))
        if counts
        else rng.integers(0, 128, (rows, levels + 1))
    )
    memories, first = bisection(breakpoints, values, rows, lanes, 11, 8)
    assert first == (-8 if counts else None) or levels == 1
    sizes = {"LANES": lanes, "FOLDS": folds, "ROWS": folds, "IN_BITS": 11, "OUT_BITS": 8}
    sizes |= {"STAGES": stages_of(levels), "COUNTS": int(first is not None), "FIRST": first or 0}
    numbers = rng.integers(-1024, 1023, (30 * folds, lanes))  # the largest one stands for never
    golden = np.empty_like(numbers)
    for beat, row in enumerate(numbers):
        for lane, number in enumerate(row):
            channel = beat % folds * lanes + lane
            golden[beat, lane] = values[channel, (number >= breakpoints[channel]).sum()]
    found = model(Element("", "bisect", sizes, {}, {}, memories), join_lanes(numbers, 11))
    assert np.array_equal(split_lanes(found, lanes, 8, signed=1), (golden + 128) % 256 - 128)


def test_stages() -> None:
    assert [stages_of(levels) for levels in (1, 2, 3, 4, 15, 16, 255, 256)] == [1, 2, 2, 3, 4, 5, 8, 9]


@pytest.mark.parametrize(("bits", "modules"), [(4, ["mvtu"]), (5, ["mvtu", "bisect"])])
def test_many_breakpoints_are_searched(bits: int, modules: list[str]) -> None:
    rng = np.random.default_rng(0)
    b = Builder()
    y = b.conv(b.input((4, 4, 2), Grid.unsigned(2)), rng, 2, Grid.odd(1), (1, 1))
    y = b.steps(y, rng, Grid.unsigned(bits), kind="rising")  # 15 breakpoints, 31
    network = lower_program(b.program(y), {"conv0": Fold(1, 2)})
    assert [element.module for element in network.elements if element.layer] == modules


def test_too_many_breakpoints_are_refused() -> None:
    b = Builder()
    x = b.input((1, 1, 1), Grid.span(-40000, 40000))
    many = np.arange(65536)[None]
    y = b.op("steps", x, grid=Grid.unsigned(16), breakpoints=many, values=np.arange(65537)[None] // 2)
    with pytest.raises(FpgaError, match="^steps0: step tables must have at most 65535 breakpoints, not 65536$"):
        lower_program(b.program(y), {})
