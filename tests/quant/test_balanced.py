# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bitlens.quant import BalancedWeight, QuantError, balanced_groups, balanced_weight


def recursive_mean(w: np.ndarray, level: int) -> np.ndarray:
    """Algorithm 2 as it is written: halve at the mean, then halve the halves."""
    if level == 0 or w.size == 0:
        return np.zeros(w.shape, np.int64)
    upper = w >= w.mean()
    out = np.empty(w.shape, np.int64)
    out[~upper] = recursive_mean(w[~upper], level - 1)
    out[upper] = recursive_mean(w[upper], level - 1) + 2 ** (level - 1)
    return out


def entropy(groups: Tensor, bits: int) -> float:
    share = torch.bincount(groups.reshape(-1), minlength=2**bits).double() / groups.numel()
    return float(-(share * torch.log2(share.clamp(min=1e-30))).sum())


@given(st.integers(1, 6), st.integers(1, 400), st.integers(0, 1 << 30))
@settings(deadline=None, max_examples=60)
def test_mean_groups_equal_the_recursive_algorithm(bits: int, count: int, seed: int) -> None:
    w = torch.randn(count, generator=torch.Generator().manual_seed(seed))
    groups = balanced_groups(w, bits)
    assert np.array_equal(groups.numpy(), recursive_mean(w.double().numpy(), bits))


@given(st.integers(1, 6), st.integers(1, 400), st.integers(0, 1 << 30))
@settings(deadline=None, max_examples=60)
def test_median_groups_differ_by_one_weight_at_most(bits: int, count: int, seed: int) -> None:
    w = torch.from_numpy(np.random.default_rng(seed).permutation(count).astype(np.float32))
    groups = balanced_groups(w, bits, "median")
    sizes = torch.bincount(groups, minlength=2**bits)
    assert len(sizes) == 2**bits
    if count >= 2**bits:
        assert sizes.max() - sizes.min() <= 1
    assert torch.all(groups[w.argsort()].diff() >= 0)


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_levels_are_used_evenly_where_uniform_quantization_wastes_them(bits: int) -> None:
    w = torch.distributions.StudentT(3.0).sample((100_000,))
    n = 2**bits - 1
    uniform = torch.floor(n * (w / (2 * w.abs().max()) + 0.5) + 0.5).long()
    assert entropy(balanced_groups(w, bits, "median"), bits) > bits - 0.01
    assert entropy(balanced_groups(w, bits), bits) > bits - 0.2
    assert entropy(uniform, bits) < bits - 0.5


@given(
    st.integers(1, 8), st.integers(0, 1 << 30), st.sampled_from(["mean", "median"]), st.sampled_from(["mean", "max"])
)
@settings(deadline=None, max_examples=40)
def test_codes_are_the_groups(bits: int, seed: int, split: str, reach: str) -> None:
    w = torch.randn(8, 30, generator=torch.Generator().manual_seed(seed))
    quantizer = BalancedWeight(bits, split, reach)
    integers, scale = quantizer.codes(w)
    assert quantizer.grid.contains(integers.numpy())
    s = 2.5 * w.abs().mean() if reach == "mean" else w.abs().max()
    assert torch.equal(scale, s / (2**bits - 1))
    assert torch.equal((integers.long() + 2**bits - 1) // 2, balanced_groups(w.clamp(-s, s), bits, split))
    assert torch.equal(balanced_weight(w, bits, split, reach), integers * scale)


def test_identity_gradient() -> None:
    w = (2 * torch.randn(100)).requires_grad_()
    g = torch.randn(100)
    balanced_weight(w, 2).backward(g)
    assert torch.allclose(w.grad, g, rtol=1e-5)


def test_leaf_gradient_is_the_slope_of_the_leaf() -> None:
    w = torch.tensor([-2.0, -1.0, 1.0, 3.0], requires_grad=True)  # mean 0.25: leaves [-2, -1] and [1, 3]
    balanced_weight(w, 1, reach="max", slope="leaf").sum().backward()
    assert w.grad.tolist() == [6.0, 6.0, 3.0, 3.0]  # 2 s / (n width) with s = 3, n = 1
    lone = torch.tensor([-1.0, 2.0], requires_grad=True)
    balanced_weight(lone, 1, slope="leaf").sum().backward()
    assert lone.grad.tolist() == [0.0, 0.0]


def test_equal_and_zero_weights_are_finite() -> None:
    for w in (torch.zeros(5), torch.full((5,), 0.3)):
        for split in ("mean", "median"):
            integers, scale = BalancedWeight(2, split).codes(w)
            assert len(integers.unique()) == 1
            assert torch.isfinite(scale)


SPLITS = st.sampled_from(["mean", "median"])
REACHES = st.sampled_from(["mean", "max"])


@given(st.integers(1, 8), st.integers(0, 1 << 30), SPLITS, REACHES, st.sampled_from([0.25, 2.0, 8.0]))
@settings(deadline=None, max_examples=40)
def test_codes_rise_and_values_scale_with_the_weights(
    bits: int, seed: int, split: str, reach: str, factor: float
) -> None:
    w = torch.randn(60, generator=torch.Generator().manual_seed(seed)) ** 3
    integers = BalancedWeight(bits, split, reach).codes(w)[0]
    assert (integers[w.argsort()].diff() >= 0).all()
    once, scaled = balanced_weight(w, bits, split, reach), balanced_weight(factor * w, bits, split, reach)
    assert torch.equal(scaled, factor * once)


@given(st.integers(1, 4), st.integers(16, 400), st.integers(0, 1 << 30))
@settings(deadline=None, max_examples=40)
def test_by_median_and_maximum_a_second_time_changes_nothing(bits: int, count: int, seed: int) -> None:
    w = torch.from_numpy(np.random.default_rng(seed).permutation(count).astype(np.float32) - count / 3)
    once = balanced_weight(w, bits, "median", "max")
    assert torch.allclose(balanced_weight(once, bits, "median", "max"), once, rtol=1e-5)


@pytest.mark.parametrize("split", ["mean", "median"])
def test_zero_between_symmetric_weights_and_equal_weights(split: str) -> None:
    w = torch.tensor([-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0])
    assert BalancedWeight(2, split).codes(w)[0][3].abs() == 1
    for value in (-0.3, 0.0, 0.3):
        assert BalancedWeight(2, split).codes(torch.full((5,), value))[0].tolist() == [3] * 5


@pytest.mark.parametrize(
    ("key", "allowed"), [("split", "mean, median"), ("reach", "mean, max"), ("slope", "identity, leaf")]
)
def test_unknown_choices_are_told(key: str, allowed: str) -> None:
    with pytest.raises(QuantError, match=rf"^BalancedWeight: {key} must be one of {allowed}, not mode$"):
        BalancedWeight(2, **{key: "mode"})


def test_module_names_itself() -> None:
    assert str(BalancedWeight(2)) == "BalancedWeight(odd 2, split=mean, reach=mean, slope=identity)"
