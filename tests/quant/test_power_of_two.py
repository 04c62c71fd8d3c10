# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bitlens.quant import BipolarWeight, LSQWeight, MeanScaledWeight, PowerOfTwoWeight, Quantizer, power_of_two

POSITIVE = st.floats(2.0**-100, 2.0**100, width=32)


@given(POSITIVE)
def test_it_is_an_exact_power_and_the_nearest_by_ratio(scale: float) -> None:
    found = power_of_two(torch.tensor(scale)).item()
    assert math.frexp(found)[0] == 0.5
    assert 2**-0.5 * (1 - 1e-6) <= found / scale <= 2**0.5 * (1 + 1e-6)
    assert power_of_two(torch.tensor(found)).item() == found


@pytest.mark.parametrize("exponent", range(-100, 101))
def test_powers_stay(exponent: int) -> None:
    assert power_of_two(torch.tensor(2.0**exponent)).item() == 2.0**exponent


def test_its_gradient_is_the_identity() -> None:
    scale = torch.tensor([0.3, 5.0], requires_grad=True)
    power_of_two(scale).backward(torch.tensor([2.0, 3.0]))
    assert scale.grad.tolist() == [2, 3]


@pytest.mark.parametrize("lost", [math.nan, math.inf])
def test_a_scale_that_is_lost_does_not_become_one(lost: float) -> None:
    assert str(power_of_two(torch.tensor([lost, 3.0])).tolist()) == str([lost, 4.0])


def test_the_gradient_of_weights_is_the_familys_times_the_ratio_of_scales() -> None:
    w, up = torch.randn(4, 6, requires_grad=True), torch.randn(4, 6)
    family = MeanScaledWeight(3)
    family(w).backward(up)
    expected, w.grad = w.grad * power_of_two(family.codes(w)[1]) / family.codes(w)[1], None
    PowerOfTwoWeight(family)(w).backward(up)
    assert torch.allclose(w.grad, expected, rtol=1e-5)


@pytest.mark.parametrize("family", [MeanScaledWeight(2), BipolarWeight(), LSQWeight(4, channels=True)])
def test_the_familys_integers_stay(family: Quantizer) -> None:
    w = torch.randn(4, 6)
    quantizer = PowerOfTwoWeight(family)
    quantizer.begin(w)
    integers, scale = quantizer.codes(w)
    assert torch.equal(integers, family.codes(w)[0])
    assert torch.equal(scale, power_of_two(family.codes(w)[1]))
    assert quantizer.grid == family.grid
    assert (torch.frexp(scale).mantissa == 0.5).all()
