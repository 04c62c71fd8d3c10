# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from bitlens.quant import LSQActivation, LSQWeight, QuantError

VALUES = hnp.arrays(
    np.float32, hnp.array_shapes(min_side=1, max_side=6), elements=st.floats(-4, 4, width=32, allow_subnormal=False)
)


def _begun(bits: int, w: torch.Tensor, channels: bool = False) -> LSQWeight:
    quantizer = LSQWeight(bits, channels)
    quantizer.begin(w)
    return quantizer


@given(VALUES, st.integers(2, 8), st.booleans())
def test_weights_lie_on_the_grid_rise_and_a_second_time_changes_nothing(
    w: np.ndarray, bits: int, channels: bool
) -> None:
    x = torch.from_numpy(w)
    quantizer = _begun(bits, x, channels)
    integers, scale = quantizer.codes(x)
    assert quantizer.grid.contains(integers.detach().numpy().astype(np.int64))
    assert scale.shape == (w.shape[:1] if channels else ())
    for row, codes in zip(w.reshape(len(w), -1), integers.detach().numpy().reshape(len(w), -1), strict=True):
        assert (np.diff(codes[np.argsort(row, kind="stable")]) >= 0).all()
    assert torch.equal(quantizer.codes(quantizer(x))[0], integers)


def test_values_and_start_are_the_published_ones() -> None:
    w = torch.randn(6, 10, generator=torch.Generator().manual_seed(3))
    quantizer = _begun(3, w)
    step = 2 * w.abs().mean().item() / 3**0.5
    assert quantizer.codes(w)[1].item() == pytest.approx(step)
    expected = np.floor(np.clip(w.numpy() / step, -4, 3) + 0.5) * step
    assert np.allclose(quantizer(w).detach().numpy(), expected, atol=1e-5)
    rows = _begun(3, w, channels=True).codes(w)[1].detach().numpy()
    assert np.allclose(rows, 2 * w.abs().mean(1).numpy() / 3**0.5)


@pytest.mark.parametrize("bits", [2, 3, 8])
@pytest.mark.parametrize("channels", [False, True])
def test_gradients_of_weights_are_those_of_the_formulas(bits: int, channels: bool) -> None:
    w = torch.randn(5, 30, requires_grad=True)
    up = torch.randn(5, 30)
    quantizer = _begun(bits, 0.3 * w / (2 ** (bits - 1) - 1) ** 0.5, channels)  # some weights lie outside
    quantizer(w).backward(up)
    lo, hi = quantizer.grid.lo, quantizer.grid.hi
    v = w.detach() / quantizer.codes(w)[1].detach().reshape(-1, 1)
    inside = (v > lo) & (v < hi)
    assert 0 < inside.sum() < 150
    assert torch.allclose(w.grad, up * inside, rtol=1e-4)
    slope = hi * torch.where(inside, torch.floor(v + 0.5) - v, v.clamp(lo, hi)) * up  # of the reach, hi steps
    expected = slope.sum(1) / (30 * hi) ** 0.5 if channels else slope.sum() / (150 * hi) ** 0.5
    assert torch.allclose(quantizer.reach.grad, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("bits", [1, 2, 8])
def test_gradients_of_activations_are_those_of_the_formulas(bits: int) -> None:
    x = torch.randn(4, 30, requires_grad=True)
    up = torch.randn(4, 30)
    quantizer = LSQActivation(bits)
    quantizer(x).backward(up)
    n = 2**bits - 1
    v = n * x.detach()
    inside = (v > 0) & (v < n)
    assert torch.allclose(x.grad, up * inside, rtol=1e-4)
    slope = torch.where(inside, torch.floor(v + 0.5) - v, v.clamp(0, n)) * up
    expected = n * slope.sum().item() / (30 * n) ** 0.5
    assert quantizer.reach.grad.item() == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_activations_scale_with_their_reach() -> None:
    x, quantizer = torch.rand(3, 9), LSQActivation(3)
    once = quantizer(x).detach()
    quantizer.reach.data.fill_(4)
    assert torch.equal(quantizer(4 * x), 4 * once)


def test_eight_bits_are_fine_and_one_bit_is_a_step() -> None:
    w = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    quantizer = _begun(8, w)
    assert ((quantizer(w) - w).abs() <= 0.5001 * quantizer.codes(w)[1]).all()  # 2 mean|w| sqrt(127) clips none
    assert LSQActivation(1)(torch.tensor([[0.0, 0.49, 0.5, 3.0]])).tolist() == [[0, 0, 1, 1]]


def test_a_layer_that_starts_at_zero_comes_to_life() -> None:
    w = nn.Parameter(torch.zeros(1, 8))
    quantizer = _begun(2, w)
    optimizer = torch.optim.Adam([w, *quantizer.parameters()], 0.01)
    aim = torch.linspace(-1, 1, 8)
    losses = []
    for _ in range(200):
        loss = (quantizer(w) - aim).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_sgd_moves_the_step_as_published() -> None:
    x, quantizer = torch.rand(2, 8), LSQActivation(4)
    reference = torch.tensor(1 / 15, requires_grad=True)  # the step itself, damped by 1/sqrt(count n)
    integers = torch.floor(15 * x.clamp(max=1) + 0.5)
    ((integers - x * 15).clamp(-1, 1).detach() * reference).sum().backward()
    quantizer(x).sum().backward()
    optimizer = torch.optim.SGD(quantizer.parameters(), 0.01)
    optimizer.step()
    expected = 1 / 15 - 0.01 * reference.grad.item() / (8 * 15) ** 0.5
    assert quantizer.scale.item() == pytest.approx(expected, rel=1e-4)


@given(VALUES, st.integers(1, 16))
def test_activations_lie_on_the_grid_and_rise(x: np.ndarray, bits: int) -> None:
    quantizer = LSQActivation(bits)
    integers = quantizer.codes(torch.from_numpy(x))[0].detach().numpy()
    assert quantizer.grid.contains(integers.astype(np.int64))
    assert (np.diff(integers.reshape(-1)[np.argsort(x.reshape(-1), kind="stable")]) >= 0).all()


def test_weights_scale_with_their_input_through_their_start() -> None:
    w = torch.randn(3, 7)
    assert torch.equal(_begun(4, 4 * w)(4 * w), 4 * _begun(4, w)(w))


def test_zero_constant_nan_and_a_step_that_fell_below_zero() -> None:
    quantizer = _begun(2, torch.zeros(3, 3))
    assert (quantizer.codes(torch.zeros(3, 3))[0] == 0).all()
    assert quantizer.codes(torch.zeros(3, 3))[1] > 0
    assert torch.isfinite(_begun(8, torch.full((4, 4), 0.5))(torch.full((4, 4), 0.5))).all()
    assert torch.isnan(_begun(2, torch.ones(2))(torch.tensor([1.0, float("nan")]))).any()
    activation = LSQActivation(2)
    assert torch.equal(activation(torch.zeros(2, 1)), torch.zeros(2, 1))
    assert torch.isnan(activation(torch.full((1, 1), float("nan")))).all()
    activation.reach.data.fill_(-1)
    assert activation.scale.item() == pytest.approx(1e-6)
    assert activation.codes(torch.ones(1, 1))[1].item() == pytest.approx(1e-6)


def test_a_scale_moved_to_a_power_of_two() -> None:
    quantizer = LSQActivation(2, shift=True)
    integers, scale = quantizer.codes(torch.tensor([[0.1, 0.3, 0.9]]))
    assert (quantizer.scale, scale) == (0.25, 0.25)
    assert integers.tolist() == [[0, 1, 3]]


def test_mistakes_are_told() -> None:
    for bits in (1, 9):
        with pytest.raises(QuantError) as caught:
            LSQWeight(bits)
        assert str(caught.value) == f"LSQWeight: bits must be 2 to 8, not {bits}"
    with pytest.raises(QuantError) as caught:
        LSQActivation(0)
    assert str(caught.value) == "LSQActivation: bits must be 1 to 16, not 0"
    with pytest.raises(QuantError) as caught:
        LSQWeight(2)(torch.ones(2))
    assert str(caught.value) == "LSQWeight: step must be started by begin(weight) before codes"
