# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bitlens.core.grid import Grid
from bitlens.quant import QuantError, TernaryWeight, ternary_weight

WEIGHTS = hnp.arrays(
    np.float32, hnp.array_shapes(min_side=1, max_side=6), elements=st.floats(-4, 4, width=32, allow_subnormal=False)
)


def _published(w: np.ndarray) -> np.ndarray:
    """One weight at a time, float64."""
    flat = w.astype(np.float64).reshape(-1)
    threshold = 0.7 * sum(abs(v) for v in flat) / len(flat)
    large = [abs(v) for v in flat if abs(v) > threshold]
    scale = sum(large) / len(large) if large else 0.0
    return np.array([np.sign(v) * scale if abs(v) > threshold else 0.0 for v in flat]).reshape(w.shape)


def test_values_are_the_published_ones() -> None:
    w = torch.randn(50, 7, generator=torch.Generator().manual_seed(1))
    assert np.abs(ternary_weight(w).numpy() - _published(w.numpy())).max() < 1e-6


@given(WEIGHTS)
def test_integers_lie_on_the_grid_and_rise_with_the_weight(w: np.ndarray) -> None:
    integers, scale = TernaryWeight().codes(torch.from_numpy(w))
    assert Grid.ternary().contains(integers.numpy().astype(np.int64))
    assert scale > 0
    order = np.argsort(w.reshape(-1), kind="stable")
    assert (np.diff(integers.numpy().reshape(-1)[order]) >= 0).all()


@given(WEIGHTS.filter(lambda w: np.abs(w).max() > 1e-3), st.sampled_from([0.25, 2.0, 8.0]))
def test_weights_scale_with_their_input_and_a_second_time_changes_nothing(w: np.ndarray, factor: float) -> None:
    x = torch.from_numpy(w)
    once = ternary_weight(x)
    assert torch.equal(ternary_weight(factor * x), factor * once)
    assert torch.allclose(ternary_weight(once), once, rtol=1e-5)


def test_the_gradient_is_the_identity() -> None:
    w = torch.randn(40, 5, requires_grad=True)
    up = torch.randn(40, 5)
    ternary_weight(w).backward(up)
    assert torch.allclose(w.grad, up, rtol=1e-5)


def test_zero_constant_and_nan() -> None:
    integers, scale = TernaryWeight().codes(torch.zeros(3, 3))
    assert (integers == 0).all()
    assert scale == pytest.approx(1e-12)
    assert torch.equal(ternary_weight(torch.full((4,), -0.5)), torch.full((4,), -0.5))
    assert torch.isnan(ternary_weight(torch.tensor([1.0, float("nan")]))).any()


@pytest.mark.parametrize("bits", [1, 3, True])
def test_other_bits_are_refused(bits: int) -> None:
    with pytest.raises(QuantError) as caught:
        TernaryWeight(bits)
    assert str(caught.value) == f"TernaryWeight: bits must be 2, not {bits}"
