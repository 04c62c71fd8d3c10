# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bitlens.quant import (
    MaxScaledWeight,
    MeanScaledWeight,
    QuantError,
    UniformMaxWeight,
    max_scaled_weight,
    mean_scaled_weight,
    uniform_max_weight,
)

FAMILIES = (MeanScaledWeight, MaxScaledWeight, UniformMaxWeight)
BITS = st.integers(1, 8)
WEIGHTS = hnp.arrays(
    np.float32, hnp.array_shapes(min_side=1, max_side=6), elements=st.floats(-4, 4, width=32, allow_subnormal=False)
)


def _published(w: np.ndarray, bits: int, family: type) -> np.ndarray:
    """The formulas as printed, in float64: Q_k(x) = floor(n x + 1/2)/n."""
    n = 2**bits - 1
    w = w.astype(np.float64)
    if family is MeanScaledWeight:
        t = np.tanh(w)
        s = 2.5 * np.abs(t).mean()
        return (np.floor(n * (np.clip(t / s, -0.5, 0.5) + 0.5) + 0.5) / n - 0.5) * s
    t = np.tanh(w) if family is MaxScaledWeight else w
    s = np.abs(t).max()
    return s * (2 * np.floor(n * (t / (2 * s) + 0.5) + 0.5) / n - 1)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("bits", range(1, 9))
def test_values_are_the_published_ones(family: type, bits: int) -> None:
    w = torch.randn(50, 7, generator=torch.Generator().manual_seed(bits))
    assert np.abs(family(bits)(w).numpy() - _published(w.numpy(), bits, family)).max() < 1e-5


@given(WEIGHTS, BITS)
def test_integers_lie_on_the_grid_and_rise_with_the_weight(w: np.ndarray, bits: int) -> None:
    for family in FAMILIES:
        quantizer = family(bits)
        integers, scale = quantizer.codes(torch.from_numpy(w))
        assert np.isin(integers.numpy(), quantizer.grid.values()).all()
        assert scale > 0
        order = np.argsort(w.reshape(-1), kind="stable")
        assert (np.diff(integers.numpy().reshape(-1)[order]) >= 0).all()


@given(WEIGHTS.filter(lambda w: np.abs(w).max() > 1e-3), BITS)
def test_the_largest_weight_keeps_its_value_when_scaled_by_the_maximum(w: np.ndarray, bits: int) -> None:
    quantized = uniform_max_weight(torch.from_numpy(w), bits).numpy()
    at = np.abs(w).argmax()
    assert quantized.reshape(-1)[at] == pytest.approx(w.reshape(-1)[at], rel=1e-5)
    again = uniform_max_weight(torch.from_numpy(quantized), bits).numpy()
    assert np.abs(again - quantized).max() <= 1e-5 * np.abs(w).max()  # idempotent


@given(WEIGHTS.filter(lambda w: np.abs(w).max() > 1e-3), BITS, st.sampled_from([0.25, 0.5, 2.0, 8.0]))
def test_uniform_weights_scale_with_their_input(w: np.ndarray, bits: int, factor: float) -> None:
    x = torch.from_numpy(w)
    assert torch.equal(uniform_max_weight(factor * x, bits), factor * uniform_max_weight(x, bits))


@pytest.mark.parametrize("bits", range(1, 9))
def test_gradients_are_those_of_the_formulas(bits: int) -> None:
    w = torch.randn(40, 5, requires_grad=True)
    up = torch.randn(40, 5)
    mean_scaled_weight(w, bits).backward(up)
    assert torch.allclose(w.grad, up * (1 - torch.tanh(w.detach()) ** 2), rtol=1e-4, atol=1e-6)
    w.grad = None
    max_scaled_weight(w, bits).backward(up)
    assert torch.allclose(w.grad, up * (1 - torch.tanh(w.detach()) ** 2), rtol=1e-4, atol=1e-6)
    w.grad = None
    uniform_max_weight(w, bits).backward(up)
    assert torch.allclose(w.grad, up, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("bits", [1, 2, 8])
def test_value_at_zero_and_constant_weights(family: type, bits: int) -> None:
    integers, scale = family(bits).codes(torch.zeros(3, 3))
    assert (integers == 1).all()
    assert 0 < scale < 1e-11
    integers, scale = family(bits).codes(torch.full((4,), 0.5))
    # t/s + 1/2 = 0.9 of equal weights on the scale 2.5 mean|t|
    n = family(bits).grid.hi
    assert (integers == (2 * math.floor(0.9 * n + 0.5) - n if family is MeanScaledWeight else n)).all()
    assert torch.isfinite(scale)


def test_one_bit_is_a_sign_and_eight_bits_are_fine() -> None:
    w = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(MeanScaledWeight(1).codes(w)[0], torch.where(w >= 0, 1.0, -1.0))
    assert MeanScaledWeight(1).codes(w)[1] == pytest.approx(1.25 * torch.tanh(w).abs().mean().item())
    assert (uniform_max_weight(w, 8) - w).abs().max() <= w.abs().max() / 255 * 1.001


@given(st.integers(0, 1 << 30), BITS, st.sampled_from([0.25, 0.5, 2.0]))
@settings(deadline=None, max_examples=30)
def test_small_weights_scale_with_their_input_by_mean_too(seed: int, bits: int, factor: float) -> None:
    w = 1e-3 * torch.randn(300, generator=torch.Generator().manual_seed(seed))  # tanh is straight here
    (codes, scale), (scaled, larger) = (MeanScaledWeight(bits).codes(x) for x in (w, factor * w))
    assert larger.item() == pytest.approx(factor * scale.item(), rel=1e-4)
    assert (scaled != codes).float().mean() < 0.02


@pytest.mark.parametrize("family", FAMILIES)
def test_nan_shows(family: type) -> None:
    w = torch.randn(5)
    w[2] = float("nan")
    assert torch.isnan(family(2)(w)).any()


@pytest.mark.parametrize("bits", range(1, 9))
def test_tanh_bounds_the_scale_and_leaves_the_codes(bits: int) -> None:
    w = torch.full((100,), 0.05)
    w[7] = 6.0
    assert UniformMaxWeight(bits).codes(w)[1] * (2**bits - 1) == 6
    assert MaxScaledWeight(bits).codes(w)[1] * (2**bits - 1) == pytest.approx(math.tanh(6), rel=1e-6)
    if bits < 4:  # all but the largest keep their signs alone, by either
        assert torch.equal(MaxScaledWeight(bits).codes(w)[0], UniformMaxWeight(bits).codes(w)[0])
    w[7] = float("inf")
    codes, scale = MaxScaledWeight(bits).codes(w)
    assert (codes[7], scale) == (2**bits - 1, pytest.approx(1 / (2**bits - 1)))
    small = 1e-4 * torch.randn(100, generator=torch.Generator().manual_seed(bits))  # tanh is straight here
    assert torch.equal(MaxScaledWeight(bits).codes(small)[0], UniformMaxWeight(bits).codes(small)[0])


def test_bits_out_of_range_are_told() -> None:
    with pytest.raises(QuantError) as caught:
        MeanScaledWeight(9)
    assert str(caught.value) == "MeanScaledWeight: bits must be 1 to 8, not 9"
    with pytest.raises(QuantError) as caught:
        MaxScaledWeight(0)
    assert str(caught.value) == "MaxScaledWeight: bits must be 1 to 8, not 0"
    with pytest.raises(QuantError) as caught:
        UniformMaxWeight(0)
    assert str(caught.value) == "UniformMaxWeight: bits must be 1 to 8, not 0"
