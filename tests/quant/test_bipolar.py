# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bitlens.quant import BipolarWeight, QuantError, bipolar_weight

WEIGHTS = hnp.arrays(
    np.float32, hnp.array_shapes(min_side=1, max_side=6), elements=st.floats(-4, 4, width=32, allow_subnormal=False)
)


def test_values_are_the_published_ones() -> None:
    w = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    quantized = bipolar_weight(w).numpy()
    for channel, row in zip(quantized, w.numpy(), strict=True):
        assert np.allclose(channel, np.sign(row) * np.abs(row).mean())


@given(WEIGHTS)
def test_integers_are_signs_and_every_channel_has_its_scale(w: np.ndarray) -> None:
    integers, scale = BipolarWeight().codes(torch.from_numpy(w))
    assert np.array_equal(integers.numpy(), np.where(w >= 0, 1, -1))
    assert scale.shape == w.shape[:1]
    assert (scale > 0).all()


@given(
    WEIGHTS.map(lambda w: np.where(np.abs(w) < 1e-30, np.float32(0), w)).filter(  # a quarter of the smallest would be 0
        lambda w: np.abs(w).reshape(len(w), -1).max(1).min() > 1e-3
    ),
    st.sampled_from([0.25, 2.0, 8.0]),
)
def test_weights_scale_with_their_input_and_a_second_time_changes_nothing(w: np.ndarray, factor: float) -> None:
    x = torch.from_numpy(w)
    once = bipolar_weight(x)
    assert torch.equal(bipolar_weight(factor * x), factor * once)
    assert torch.allclose(bipolar_weight(once), once, rtol=1e-5)


def test_the_gradient_is_that_of_the_formula() -> None:
    w = (2 * torch.randn(6, 5)).requires_grad_()
    up = torch.randn(6, 5)
    bipolar_weight(w).backward(up)
    scale = w.detach().abs().mean(1, keepdim=True)
    assert torch.allclose(w.grad, up * (1 / 5 + scale * (w.detach().abs() <= 1)), rtol=1e-5)


def test_zero_constant_and_nan() -> None:
    integers, scale = BipolarWeight().codes(torch.zeros(3, 4))
    assert (integers == 1).all()
    assert (scale == 1e-12).all()
    assert torch.equal(bipolar_weight(torch.full((2, 2), -0.5)), torch.full((2, 2), -0.5))
    assert torch.isnan(bipolar_weight(torch.tensor([[1.0, float("nan")]]))).any()


@pytest.mark.parametrize("bits", [0, 2, True])
def test_other_bits_are_refused(bits: int) -> None:
    with pytest.raises(QuantError) as caught:
        BipolarWeight(bits)
    assert str(caught.value) == f"BipolarWeight: bits must be 1, not {bits}"
