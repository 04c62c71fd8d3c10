# SPDX-License-Identifier: Apache-2.0
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bitlens.train.float_free.arithmetic import (
    draw,
    narrow,
    power_above,
    quotient,
    rounded,
    saturated,
    shifted,
    spatial_mean,
)

WIDE = st.integers(-(2**50), 2**50)
WHOLE = st.integers(-(2**31) + 1, 2**31 - 1)
POSITIVE = st.integers(1, 2**31)


def carried(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@given(WIDE, POSITIVE)
def test_a_quotient_is_pythons(x: int, by: int) -> None:
    assert quotient(carried(x), carried(by)).item() == x // by
    assert quotient(carried(x), float(by)).item() == x // by


@given(WHOLE, POSITIVE, st.integers(0, 40))
def test_rounding_is_half_up(x: int, by: int, bits: int) -> None:
    assert rounded(carried(x), carried(by)).item() == (2 * x + by) // (2 * by)
    assert shifted(carried(x), bits).item() == (x + (1 << bits >> 1)) >> bits


@given(POSITIVE)
def test_the_power_above_is_the_bit_lengths(x: int) -> None:
    assert power_above(carried(x)).item() == 1 << x.bit_length()


@given(st.lists(WHOLE, min_size=1, max_size=6), st.integers(2, 20))
def test_narrowed_integers_have_so_many_bits(values: list[int], bits: int) -> None:
    power = 1 << max(1, *(abs(v) for v in values), 1).bit_length()
    wanted = [(2 * (v << bits) + power) // (2 * power) for v in values]
    assert narrow(carried(*values), bits).tolist() == wanted
    assert max(map(abs, wanted)) <= 1 << bits


@given(st.lists(WHOLE, min_size=24, max_size=24), st.integers(0, 4))
def test_a_mean_is_rounded_twice(values: list[int], fraction: int) -> None:
    found = spatial_mean(carried(*values).reshape(2, 2, 2, 3), fraction)
    for channel in range(2):
        each = [sum(values[12 * n + 6 * channel : 12 * n + 6 * channel + 6]) << fraction for n in range(2)]
        total = sum((2 * x + 6) // 12 for x in each)
        assert found[channel].item() == (2 * total + 2) // 4


def test_saturation_and_draws() -> None:
    assert saturated(7, carried(-9, -7, 3, 8)).tolist() == [-7, -7, 3, 7]
    torch.manual_seed(0)
    found = draw(torch.empty(10_000, dtype=torch.float64), 4)
    assert sorted(found.unique().tolist()) == [0, 1, 2, 3]
    assert abs(float(found.mean()) - 1.5) < 0.05
