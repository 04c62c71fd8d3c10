# SPDX-License-Identifier: Apache-2.0
import re

import pytest
import torch

from bitlens.train import TrainError
from bitlens.train.float_free import Ledger
from bitlens.train.float_free.masters import Masters, power_of_rate, power_within


def masters(bits: int, noise: bool, elements: int = 4000) -> Masters:
    real = {"w": torch.zeros(elements), "b": torch.full((2, 3), 0.25)}
    return Masters(real, {"w": bits, "b": 16}, {"w": bits - 1, "b": 12}, noise)


@pytest.mark.parametrize(("rate", "power"), [(1.0, 0), (0.5, 1), (0.002, 9), (0.0007, 10), (0.00068, 11), (1e-12, 40)])
def test_the_nearest_power_by_ratio(rate: float, power: int) -> None:
    assert power_of_rate(rate) == power


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_a_stochastic_update_is_right_on_average(bits: int) -> None:
    torch.manual_seed(0)
    found = masters(bits, noise=True)
    found.set_rate(2.0**-9)
    gradients = {"w": torch.ones(4000).double(), "b": torch.ones(2, 3).double()}
    steps = 40
    for _ in range(steps):
        found.update(gradients)
    # of equal gradients |g| = 1/2 after the division by the power above the mean, and so is the power of two below their
    # magnitude, which falls from 1 to 1/2; the momentum starts at 0
    wanted = -sum(1 - 0.875 ** (step + 1) for step in range(steps)) * 2.0**-9
    real = found.real()["w"]
    assert abs(float(real.mean()) - wanted) < 4 * float(real.std()) / 4000**0.5 + 0.01 * abs(wanted)
    assert wanted < -0.06


@pytest.mark.parametrize("bits", [8, 10])
def test_the_nearest_stalls_where_stochastic_rounding_goes_on(bits: int) -> None:
    found = {noise: masters(bits, noise) for noise in (True, False)}
    for one in found.values():
        one.set_rate(2.0 ** -(bits + 1))  # a step is a quarter of a master's unit
        for _ in range(200):
            one.update({"w": torch.ones(4000).double(), "b": torch.ones(2, 3).double()})
    assert not found[False].parts["w"].any()
    assert found[True].parts["w"].mean() < -20


def test_elements_of_small_gradients_step_as_far_as_those_of_large_ones() -> None:
    torch.manual_seed(0)
    found = masters(16, noise=True, elements=6000)
    found.set_rate(0.0)
    # the mean is 2^10.9; 2^-7 of the power above it is less than what steps are divided by at least
    sizes = torch.tensor([2.0**12, 3 * 2.0**10, 2.0**9, -(2.0**12), 16.0, 0.0]).double()
    gradients = {"w": sizes.repeat(1000), "b": torch.ones(2, 3).double()}
    for _ in range(1000):  # until the running means have come to the last bit
        found.update(gradients)
    assert not found.parts["w"].any()
    found.set_rate(2.0**-10)
    for _ in range(100):
        found.update(gradients)
    means = found.parts["w"].reshape(1000, 6).mean(0) / 32  # a step of 2^-10 is 32 units
    normal = sizes / 2.0**11
    wanted = -normal / 2.0 ** torch.floor(torch.log2(normal.abs().clamp(min=2.0**-6)))
    assert torch.allclose(wanted[:4].abs(), torch.tensor([1.0, 1.5, 1.0, 1.0]).double())
    assert torch.allclose(means / 100, wanted, atol=0.01)


def test_the_unit_of_a_gradient_does_not_matter() -> None:
    values = []
    for factor in (1.0, 64.0, 2.0**15):
        torch.manual_seed(3)
        gradient = torch.randint(-500, 500, (4000,)).double()
        found = masters(12, noise=True)
        found.set_rate(2.0**-8)
        found.update({"w": gradient * factor, "b": torch.zeros(2, 3).double()})
        values.append(found.value.clone())
    assert torch.equal(values[0], values[1])
    assert torch.equal(values[0], values[2])


def test_it_saturates_and_zero_gradients_change_nothing() -> None:
    found = masters(8, noise=True)
    found.set_rate(2.0**-5)
    for _ in range(300):
        found.update({"w": -torch.ones(4000).double(), "b": torch.zeros(2, 3).double()})
    assert (found.parts["w"] == 127).all()
    assert torch.equal(found.real()["b"], torch.full((2, 3), 0.25))
    assert float(found.real()["w"].max()) == 127 / 128


@pytest.mark.parametrize("sign", [1, -1])
def test_a_momentum_ends_with_its_gradients(sign: int) -> None:
    found = masters(16, noise=True)
    found.set_rate(2.0**-8)
    for _ in range(10):
        found.update({"w": sign * torch.ones(4000).double(), "b": torch.ones(2, 3).double()})
    moved = found.momentum.clone()
    nothing = {"w": torch.zeros(4000).double(), "b": torch.zeros(2, 3).double()}
    for _ in range(100):
        found.update(nothing)
    assert moved.all()
    assert not found.momentum.any()
    before = found.value.clone()
    found.update(nothing)
    assert torch.equal(found.value, before)


def test_momenta_of_opposite_gradients_are_opposite() -> None:
    torch.manual_seed(0)
    found = [masters(12, noise=False) for _ in range(2)]
    for one in found:
        one.set_rate(2.0**-8)
    for _ in range(20):
        gradients = {"w": torch.randint(-9, 10, (4000,)).double(), "b": torch.randint(-9, 10, (2, 3)).double()}
        found[0].update(gradients)
        found[1].update({name: -gradient for name, gradient in gradients.items()})
    assert torch.equal(found[0].momentum, -found[1].momentum)


def test_at_a_rate_of_zero_weights_stay() -> None:
    found = masters(8, noise=True)
    gradients = {"w": torch.ones(4000).double(), "b": torch.ones(2, 3).double()}
    found.set_rate(0.0)
    found.update(gradients)
    assert not found.parts["w"].any()
    assert found.momentum.all()
    for rate in (2.0**-5, 0.0, 2.0**-5):
        found.set_rate(rate)
    for _ in range(20):
        found.update(gradients)
    assert found.parts["w"].all()


def test_a_rate_finer_than_the_noise_still_rounds() -> None:
    torch.manual_seed(0)
    found = masters(8, noise=True)
    found.set_rate(2.0**-60)
    gradients = {"w": torch.ones(4000).double(), "b": torch.ones(2, 3).double()}
    with Ledger() as ledger:
        for _ in range(3):
            found.update(gradients)
    assert not found.parts["w"].any()
    assert ledger.floats == 0, ledger


def test_a_rate_too_large_is_refused() -> None:
    sentence = "rate: must be less than 0.1768 for these masters, not 0.3"
    with pytest.raises(TrainError, match=f"^{re.escape(sentence)}$"):
        masters(16, noise=True).set_rate(0.3)
    with pytest.raises(TrainError, match=f"^{re.escape(sentence)}$"):
        power_within(0.3, 15)
    for rate in (0.125, 0.1767):
        masters(16, noise=True).set_rate(rate)
    with pytest.raises(TrainError):
        masters(16, noise=True).set_rate(0.1769)
    assert power_within(0.125, 15) == 3
