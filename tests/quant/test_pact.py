# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bitlens.quant import PACTActivation, QuantError, pact_activation

VALUES = hnp.arrays(
    np.float32, hnp.array_shapes(min_side=1, max_side=6), elements=st.floats(-4, 8, width=32, allow_subnormal=False)
)
ALPHAS = st.sampled_from([0.5, 1.0, 2.7, 6.0])


@given(VALUES, st.integers(1, 8), ALPHAS)
def test_values_are_the_published_ones(x: np.ndarray, bits: int, alpha: float) -> None:
    n = 2**bits - 1
    clipped = 0.5 * (np.abs(x) - np.abs(x - np.float64(alpha)) + alpha)  # eq. 1
    exact = clipped * n / alpha
    away = np.abs(exact - np.floor(exact) - 0.5) > 1e-4  # no tie
    expected = np.floor(exact + 0.5) * alpha / n
    found = pact_activation(torch.from_numpy(x), bits, alpha).detach().numpy()
    assert np.allclose(found[away], expected[away], atol=1e-5)


@given(VALUES, st.integers(1, 16))
def test_integers_lie_on_the_grid_rise_and_a_second_time_changes_nothing(x: np.ndarray, bits: int) -> None:
    quantizer = PACTActivation(bits)
    integers = quantizer.codes(torch.from_numpy(x))[0].detach().numpy()
    assert quantizer.grid.contains(integers.astype(np.int64))
    assert (np.diff(integers.reshape(-1)[np.argsort(x.reshape(-1), kind="stable")]) >= 0).all()
    once = quantizer(torch.from_numpy(x))
    assert torch.equal(quantizer(once), once)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_gradients_are_those_of_the_formulas(bits: int) -> None:
    x = (3 * torch.randn(50, 4)).requires_grad_()
    up = torch.randn(50, 4)
    quantizer = PACTActivation(bits)
    quantizer.alpha.data.fill_(2.5)
    quantizer(x).backward(up)
    at = x.detach()
    assert torch.allclose(x.grad, up * ((at > 0) & (at < 2.5)), rtol=1e-5)
    assert quantizer.alpha.grad.item() == pytest.approx((up * (at >= 2.5)).sum().item(), abs=1e-3)


def test_zero_constant_nan_and_a_clip_that_fell_below_zero() -> None:
    quantizer = PACTActivation(2)
    assert torch.equal(quantizer(torch.zeros(3)), torch.zeros(3))
    assert torch.equal(quantizer(torch.full((3,), 9.0)), torch.ones(3))
    assert torch.isnan(quantizer(torch.tensor([float("nan")]))).all()
    quantizer.alpha.data.fill_(-1.0)
    assert quantizer.scale.item() == pytest.approx(0.001 / 3)


def test_a_clip_that_fell_below_zero_has_its_gradient_and_comes_back() -> None:
    quantizer = PACTActivation(2)
    quantizer.alpha.data.fill_(-0.05)
    optimizer = torch.optim.SGD(quantizer.parameters(), 0.1)
    quantizer(torch.tensor([0.5, 2.0, -1.0])).sum().backward()
    assert quantizer.alpha.grad == 2  # one for each value above
    for _ in range(5):
        optimizer.zero_grad()
        (quantizer(torch.ones(4)) - 1).square().mean().backward()
        optimizer.step()
    assert quantizer.alpha > 0.5


@given(VALUES, st.integers(1, 8), st.sampled_from([0.25, 2.0, 8.0]))
def test_values_scale_with_the_clip(x: np.ndarray, bits: int, factor: float) -> None:
    once = pact_activation(torch.from_numpy(x), bits, 1.5)
    assert torch.equal(pact_activation(factor * torch.from_numpy(x), bits, factor * 1.5), factor * once)


def test_a_scale_moved_to_a_power_of_two() -> None:
    quantizer = PACTActivation(2, shift=True)
    assert quantizer.scale == 0.25  # 1/3 is nearer to 1/4 than to 1/2 by ratio
    quantizer(torch.tensor([2.0])).sum().backward()
    assert quantizer.alpha.grad == 1


def test_bits_out_of_range_are_told() -> None:
    with pytest.raises(QuantError) as caught:
        PACTActivation(17)
    assert str(caught.value) == "PACTActivation: bits must be 1 to 16, not 17"
