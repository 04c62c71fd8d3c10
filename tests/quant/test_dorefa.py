# SPDX-License-Identifier: Apache-2.0
import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from bitlens.quant import (
    DoReFaActivation,
    DoReFaGradient,
    DoReFaWeight,
    QuantError,
    dorefa_activation,
    dorefa_gradient,
    dorefa_weight,
)
from bitlens.quant import dorefa as module

BITS = st.integers(1, 8)
SEEDS = st.integers(0, 1 << 30)
WEIGHTS = hnp.arrays(
    np.float32, hnp.array_shapes(min_side=1, max_side=6), elements=st.floats(-4, 4, width=32, allow_subnormal=False)
)
f = np.float32


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(BITS, SEEDS, st.sampled_from([1e-3, 1.0, 30.0]))
@settings(deadline=None, max_examples=50)
def test_weights_follow_the_paper_and_stay_on_the_grid(bits: int, seed: int, size: float) -> None:
    w = size * normal(seed, 4, 3, 3, 3)
    quantizer = DoReFaWeight(bits)
    integers, scale = quantizer.codes(w)
    assert quantizer.grid.contains(integers.numpy())
    if bits == 1:
        assert torch.equal(integers, torch.where(w >= 0, 1.0, -1.0))
        assert scale == w.abs().mean()
    else:
        n, t = 2**bits - 1, np.tanh(w.double().numpy())
        exact = n * (t / (2 * np.abs(t).max()) + 0.5)
        assert np.all(np.abs((integers.numpy() + n) / 2 - exact) <= 0.5 + 1e-4)
        assert scale.numpy() == f(1 / n)
    assert torch.equal(quantizer(w), integers * scale)
    assert torch.equal(dorefa_weight(w, bits), integers * scale)


def test_one_bit_gradient_is_the_identity_and_not_masked() -> None:
    w = (3 * normal(0, 5, 7)).requires_grad_()
    g = normal(1, 5, 7)
    dorefa_weight(w, 1).backward(g)
    assert torch.allclose(w.grad, g, rtol=1e-6)


@pytest.mark.parametrize("bits", [2, 3, 8])
def test_k_bit_gradient_follows_the_chain_rule(bits: int) -> None:
    w = normal(2, 40).double().requires_grad_()
    g = normal(3, 40).double()
    t = torch.tanh(w)
    (t / t.abs().max()).backward(g)  # 2 x - 1 with the rounding left out
    expected, w.grad = w.grad, None
    x = w.detach().float().requires_grad_()
    dorefa_weight(x, bits).backward(g.float())
    assert torch.allclose(x.grad.double(), expected, atol=1e-5)


def test_weights_at_zero() -> None:
    for bits in (1, 2, 8):
        integers, scale = DoReFaWeight(bits).codes(torch.zeros(3))
        assert integers.tolist() == [1, 1, 1]
        assert math.isfinite(scale)
    assert DoReFaWeight(2).codes(torch.tensor([0.0, -0.0, 1.0]))[0].tolist() == [1, 1, 3]
    w = torch.zeros(3, requires_grad=True)
    dorefa_weight(w, 1).sum().backward()
    assert torch.isfinite(w.grad).all()


@given(st.integers(1, 16), SEEDS, st.sampled_from(["clip", "cabs"]))
@settings(deadline=None, max_examples=50)
def test_activations_follow_float32_arithmetic_and_are_idempotent(bits: int, seed: int, bound: str) -> None:
    x = normal(seed, 200)
    quantizer = DoReFaActivation(bits, bound)
    integers, _scale = quantizer.codes(x)
    h = np.clip(x.numpy(), f(0), f(1)) if bound == "clip" else np.minimum(np.abs(x.numpy()), f(1))
    assert np.array_equal(integers.numpy(), np.floor(h / f(1 / (2**bits - 1)) + f(0.5)))
    assert quantizer.grid.contains(integers.numpy())
    once = quantizer(x)
    assert torch.equal(quantizer(once), once)
    assert torch.equal(dorefa_activation(x, bits, bound), once)


@pytest.mark.parametrize("bits", range(1, 9))
def test_every_level_is_reached_and_ties_go_up(bits: int) -> None:
    n = 2**bits - 1
    integers, _ = DoReFaActivation(bits).codes(torch.arange(n + 1) / n)
    assert integers.tolist() == list(range(n + 1))
    assert DoReFaActivation(1).codes(torch.tensor([0.5]))[0].item() == 1


@pytest.mark.parametrize(("bound", "slopes"), [("clip", [0, 0, 0, 1, 1, 0, 0]), ("cabs", [0, -1, 0, 1, 1, 0, 0])])
def test_activation_gradient_is_that_of_the_bound(bound: str, slopes: list[int]) -> None:
    x = torch.tensor([-1.5, -0.3, 0.0, 0.2, 0.9, 1.0, 2.0], requires_grad=True)
    dorefa_activation(x, 2, bound).sum().backward()
    assert torch.allclose(x.grad, torch.tensor(slopes, dtype=torch.float32), atol=1e-6)


def test_unknown_bound_is_told() -> None:
    with pytest.raises(QuantError, match=r"^DoReFaActivation: bound must be one of clip, cabs, not relu$"):
        DoReFaActivation(2, "relu")


@given(BITS, SEEDS)
@settings(deadline=None, max_examples=40)
def test_gradients_are_on_the_odd_grid_of_each_sample(bits: int, seed: int) -> None:
    g = normal(seed, 4, 5, 3, 3)
    g = g.contiguous(memory_format=torch.channels_last) if seed % 2 else g
    q = dorefa_gradient(g, bits, torch.Generator().manual_seed(seed))
    assert q.shape == g.shape
    assert q.stride() == g.stride()
    n, m = 2**bits - 1, g.abs().amax((1, 2, 3), keepdim=True)
    integers = q / m * n
    assert torch.allclose(integers, integers.round(), atol=1e-3)
    assert torch.all(integers.round() % 2 == 1)
    assert torch.all(q.abs() <= m * (1 + 1e-6))
    assert torch.all((q - g).abs() <= 2 * m / n + 1e-5)  # within one step


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 8])
def test_gradients_are_unbiased(bits: int) -> None:
    g = normal(5, 3, 50)
    g[:, 25:] = 0  # masked units: the case that plain rounding biases most
    draws, generator = 4000, torch.Generator().manual_seed(bits)
    mean = sum(dorefa_gradient(g, bits, generator).double() for _ in range(draws)) / draws
    n, m = 2**bits - 1, g.abs().amax(1, keepdim=True)
    position = (g / m + 1) * n / 2  # in steps of 2 m / n
    share = position - position.floor()
    deviation = (2 * m / n) * torch.sqrt(share * (1 - share) / draws)  # the analytic one of a two-point draw
    assert torch.all((mean - g).abs() <= 5 * deviation + 2 * m / n * 2**-14)


@pytest.mark.parametrize("bits", [2, 4])
def test_gradients_meet_the_analytic_probability(bits: int) -> None:
    n = 2**bits - 1
    g = torch.full((1, 200_001), 0.3 / n)
    g[0, 0] = 1.0  # m = 1
    q = dorefa_gradient(g, bits, torch.Generator().manual_seed(7))[0, 1:]
    up, down = (2 * math.floor((0.3 + n) / 2 + step) - n for step in (1, 0))
    share = (q * n > (up + down) / 2).double().mean().item()
    assert set((q * n).round().unique().tolist()) == {up, down}
    assert abs(share - (0.3 - down) / 2) < 5 * 0.5 / math.sqrt(200_000)


def test_zero_gradient_stays_zero() -> None:
    g = torch.zeros(2, 6)
    g[1, 0] = 1
    q = dorefa_gradient(g, 4)
    assert torch.all(q[0] == 0)
    assert torch.isfinite(q).all()
    tiny = dorefa_gradient(torch.full((1, 4), 1e-38), 4)
    assert torch.isfinite(tiny).all()


def test_plain_rounding_would_be_biased_at_zero() -> None:
    g = torch.zeros(1, 1001)
    g[0, 0] = 5
    generator = torch.Generator().manual_seed(0)
    rest = torch.stack([dorefa_gradient(g, 2, generator)[0, 1:] for _ in range(50)])
    assert abs(rest.mean().item()) < 5 * (5 / 3) / math.sqrt(50 * 1000)  # plain rounding: 5/3 everywhere


def test_gradient_module_is_seeded_and_resumes() -> None:
    x = normal(0, 2, 3, 4, 4).requires_grad_()
    g = normal(1, 2, 3, 4, 4)

    def draw(module: DoReFaGradient) -> Tensor:
        x.grad = None
        module(x).backward(g)
        return x.grad.clone()

    first = DoReFaGradient(4, seed=3)
    a, b = draw(first), draw(first)
    assert not torch.equal(a, b)
    second = copy.deepcopy(DoReFaGradient(4, seed=3))
    assert torch.equal(draw(second), a)
    third = DoReFaGradient(4)
    third.set_state(second.state())
    assert torch.equal(draw(third), b)
    assert not torch.equal(draw(DoReFaGradient(4, seed=4)), a)


def test_gradient_module_is_the_identity_forward() -> None:
    module = DoReFaGradient(4)
    x = normal(0, 2, 3)
    assert module(x) is x  # nothing to differentiate, no call counted
    assert module.state() == (0, 0)
    x.requires_grad_()
    assert torch.equal(module(x), x)
    assert module.state() == (0, 1)


@pytest.mark.parametrize("make", [DoReFaWeight, DoReFaActivation, DoReFaGradient])
def test_bits_must_be_in_range(make: type) -> None:
    with pytest.raises(QuantError, match=rf"^{make.__name__}: bits must be 1 to \d+, not 0$"):
        make(0)


def test_modules_name_themselves() -> None:
    assert str(DoReFaWeight(2)) == "DoReFaWeight(odd 2)"
    assert str(DoReFaActivation(2)) == "DoReFaActivation(unsigned 2, bound=clip)"
    assert str(DoReFaGradient(6)) == "DoReFaGradient(bits=6)"


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_gradients_without_noise_go_to_the_nearest_level(bits: int) -> None:
    g = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(bits))
    n = 2**bits - 1
    for found, sample in zip(dorefa_gradient(g, bits, noise=False), g, strict=True):
        m = sample.abs().max()
        levels = m * (2 * torch.arange(n + 1) - n) / n
        nearest = levels[(sample.unsqueeze(-1) - levels).abs().argmin(-1)]
        assert torch.allclose(found, nearest, atol=1e-5)


def test_a_module_without_noise_is_biased_and_says_so() -> None:
    quiet = DoReFaGradient(2, noise=False)
    x = torch.zeros(1, 1000, requires_grad=True)
    up = torch.full((1, 1000), 0.2)
    up[0, 0] = 1.0
    quiet(x).backward(up)
    assert torch.allclose(x.grad[0, 1:], torch.tensor(1 / 3))
    assert repr(quiet) == "DoReFaGradient(bits=2, noise=False)"
    assert repr(DoReFaGradient(2)) == "DoReFaGradient(bits=2)"


@given(WEIGHTS, BITS)
def test_weights_rise(w: np.ndarray, bits: int) -> None:
    integers = DoReFaWeight(bits).codes(torch.from_numpy(w))[0].numpy()
    assert (np.diff(integers.reshape(-1)[np.argsort(w.reshape(-1), kind="stable")]) >= 0).all()


@given(WEIGHTS.filter(lambda w: np.abs(w).max() > 1e-3), BITS)
def test_quantizing_weights_twice_changes_nothing_up_to_three_bits(w: np.ndarray, bits: int) -> None:
    once = dorefa_weight(torch.from_numpy(w), bits)
    twice = dorefa_weight(once, bits)
    if bits <= 3:
        assert torch.allclose(twice, once, rtol=1e-5)
    else:  # tanh acts again
        assert torch.equal(twice.sign(), once.sign())


def test_four_bits_twice_are_not_four_bits_once() -> None:
    levels = torch.arange(-15, 16, 2) / 15
    assert not torch.equal(dorefa_weight(levels, 4), levels)


@given(SEEDS, st.sampled_from([0.25, 2.0, 8.0]))
@settings(deadline=None, max_examples=30)
def test_one_bit_scales_with_its_weights_and_more_bits_do_not(seed: int, factor: float) -> None:
    w = 1e-3 * normal(seed, 400)  # tanh is straight here
    assert torch.equal(dorefa_weight(factor * w, 1), factor * dorefa_weight(w, 1))
    for bits in (2, 4):
        codes, scaled = (DoReFaWeight(bits).codes(x) for x in (w, factor * w))
        assert scaled[1] == codes[1]
        assert (scaled[0] != codes[0]).float().mean() < 0.02


@pytest.mark.parametrize("bits", [2, 8])
def test_zero_weights_have_the_gradient_of_the_identity(bits: int) -> None:
    w = torch.zeros(3, requires_grad=True)
    dorefa_weight(w, bits).backward(torch.tensor([1.0, 2.0, 3.0]))
    assert torch.allclose(w.grad, torch.tensor([1.0, 2.0, 3.0]))


@given(st.integers(1, 16), SEEDS, st.sampled_from([2.0**-20, 0.5, 4.0]), st.booleans())
@settings(deadline=None, max_examples=40)
def test_gradients_scale_with_their_input(bits: int, seed: int, factor: float, noise: bool) -> None:
    g = normal(seed, 3, 20)
    once, scaled = (dorefa_gradient(x, bits, torch.Generator().manual_seed(seed), noise) for x in (g, factor * g))
    assert torch.equal(scaled, factor * once)


@given(st.integers(1, 16), SEEDS)
@settings(deadline=None, max_examples=40)
def test_gradients_rise_without_noise(bits: int, seed: int) -> None:
    g = normal(seed, 1, 50).sort().values
    assert (dorefa_gradient(g, bits, noise=False).diff() >= 0).all()


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 8, 12, 16])
@pytest.mark.parametrize("g", [-1.0, -0.7, -0.25, 0.0, 1e-4, 0.3, 0.5, 0.999, 1.0])
def test_the_mean_over_all_noise_is_the_gradient(bits: int, g: float, monkeypatch: pytest.MonkeyPatch) -> None:
    every = torch.cat([torch.arange(-(1 << 15), 1 << 15), torch.zeros(1)]).reshape(1, -1)
    monkeypatch.setattr(module, "_noise", lambda flat, generator: every.clone())
    sample = torch.full((1, (1 << 16) + 1), g)
    sample[0, -1] = 1.0  # m = 1
    mean = dorefa_gradient(sample, bits)[0, :-1].double().mean().item()
    assert abs(mean - np.float32(g)) <= 2**-16 / (2**bits - 1) + 2**-21


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_sample_that_is_not_finite_is_nan_throughout_and_leaves_the_others(bad: float) -> None:
    g = normal(0, 2, 3, 4, 4)
    g[1, 2, 0, 0] = bad
    q = dorefa_gradient(g, 4)
    assert q[1].isnan().all()
    assert q[0].isfinite().all()


@pytest.mark.parametrize("bits", [1, 2, 8])
@pytest.mark.parametrize("value", [0.3, -0.3])
def test_constant_gradients_stay(bits: int, value: float) -> None:
    assert torch.allclose(dorefa_gradient(torch.full((2, 5), value), bits), torch.full((2, 5), value))


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0), (0, 3, 4, 4)])
def test_no_gradients_give_none(shape: tuple[int, ...]) -> None:
    x = torch.zeros(shape, requires_grad=True)
    DoReFaGradient(4)(x).sum().backward()
    assert x.grad.shape == shape


@pytest.mark.parametrize("bits", range(1, 17))
def test_a_sample_of_zeros_stays_zero_at_every_width(bits: int) -> None:
    g = torch.stack([torch.zeros(8), torch.randn(8, generator=torch.Generator().manual_seed(0))])
    quantized = dorefa_gradient(g, bits, torch.Generator().manual_seed(1))
    assert torch.equal(quantized[0], torch.zeros(8))
    assert torch.isfinite(quantized).all()
