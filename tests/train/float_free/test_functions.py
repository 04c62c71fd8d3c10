# SPDX-License-Identifier: Apache-2.0
"""The integer operations beside their formulas on reals, and rounding of gradients beside its law."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from bitlens.quant import DoReFaActivation, Spec
from bitlens.train.float_free import functions
from bitlens.train.float_free.functions import (
    activate,
    normalize,
    range_constant,
    round_gradient,
    statistics,
    with_rounded_gradient,
)
from bitlens.train.float_free.twin import weight_codes


def sums(seed: int, spread: float = 300.0) -> Tensor:
    torch.manual_seed(seed)
    place = torch.tensor([0.0, 500.0, -2000.0]).view(1, 3, 1, 1)
    width = torch.tensor([1.0, 0.05, 10.0]).view(1, 3, 1, 1)
    return torch.round(torch.randn(8, 3, 10, 10) * spread * width + place).double()


@pytest.mark.parametrize(("kind", "near"), [("l1", 0.02), ("range", 0.15)])
def test_statistics_estimate_mean_and_deviation(kind: str, near: float) -> None:
    x = sums(0)
    mean, scale, deviations = statistics(x, kind)
    assert torch.allclose(mean / 16, x.mean((0, 2, 3)), atol=0.1)
    assert torch.allclose(scale / 16, x.std((0, 2, 3)), rtol=near + 0.02)
    assert torch.equal(deviations, 16 * x - mean.view(1, 3, 1, 1))


def test_the_l1_scale_is_that_of_its_formula() -> None:
    x = sums(1)
    wanted = 1.25 * (x - x.mean((0, 2, 3), keepdim=True)).abs().mean((0, 2, 3))
    assert torch.allclose(statistics(x, "l1")[1] / 16, wanted, rtol=0.002, atol=0.1)


@pytest.mark.parametrize("size", [64, 1024, 16384])
def test_the_range_constant_is_that_of_normal_values(size: int) -> None:
    values = np.random.default_rng(0).normal(size=(200, size))
    assert 0.85 < range_constant(size) * np.ptp(values, axis=1).mean() < 1.15


@pytest.mark.parametrize("kind", ["l1", "range"])
def test_batch_norm_is_near_its_formula_forward_and_backward(kind: str) -> None:
    x = sums(2)
    slope, intercept = torch.tensor([2048.0, 4096.0, -1000.0]).double(), torch.tensor([2048.0, 0.0, -4096.0]).double()
    leaves = [tensor.requires_grad_() for tensor in (x, slope, intercept)]
    y, mean, scale = normalize(*leaves, kind)
    a, b = (slope.detach() / 4096).view(1, 3, 1, 1), (intercept.detach() / 4096).view(1, 3, 1, 1)
    h = (x.detach() - mean.view(1, 3, 1, 1) / 16) / (scale.view(1, 3, 1, 1) / 16)
    assert torch.allclose(y.detach() / 1024, a * h + b, atol=0.004)

    g = torch.randint(-(2**14), 2**14, x.shape).double() + 3000 * h.round()
    of_x, of_slope, of_intercept = torch.autograd.grad(y, leaves, g)

    def average(t: Tensor) -> Tensor:
        return t.mean((0, 2, 3), keepdim=True)

    shape = 1.25 * (h.sign() - average(h.sign())) if kind == "l1" else h
    pulled = average(g * h) * shape
    wanted = a / scale.view(1, 3, 1, 1) * (g - average(g) - pulled)
    ratio = float((of_x * wanted).sum() / (wanted * wanted).sum())  # the unit of a gradient is free
    assert torch.allclose(of_x / ratio, wanted, atol=0.01 * float(wanted.abs().max()))
    for found, real in ((of_slope, average(g * h)), (of_intercept, average(g))):
        assert torch.nn.functional.cosine_similarity(found, real.flatten(), dim=0) > 0.999


def test_the_l1_formula_is_the_derivative_of_l1_batch_norm() -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 1, 5, 5, dtype=torch.float64, requires_grad=True)
    g = torch.randn_like(x)
    centred = x - x.mean()
    scale = 1.25 * centred.abs().mean()
    (wanted,) = torch.autograd.grad(centred / scale, x, g)
    h = ((x - x.mean()) / scale).detach()
    found = (g - g.mean() - 1.25 * (g * h).mean() * (h.sign() - h.sign().mean())) / scale.detach()
    assert torch.allclose(found, wanted)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("bound", ["clip", "cabs"])
def test_codes_are_those_of_the_quantizer(bits: int, bound: str) -> None:
    y = torch.arange(-3000, 3000, dtype=torch.float64)
    wanted, _ = DoReFaActivation(bits, bound).codes((y / 1024).float())
    found = activate(y, (1 << bits) - 1, bound)
    ties = ((y.abs() if bound == "cabs" else y) * ((1 << bits) - 1) / 1024 + 0.5) % 1 == 0
    assert torch.equal(found[~ties], wanted.double()[~ties])
    assert (found - wanted)[ties].abs().max() <= 1  # float32 divides by a rounded 1/n


@pytest.mark.parametrize("bound", ["clip", "cabs"])
def test_the_gradient_passes_inside_the_bound(bound: str) -> None:
    y = torch.tensor([-1500.0, -1024, -500, 0, 500, 1024, 1500], dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(activate(y, 3, bound), y, torch.full((7,), 10.0, dtype=torch.float64))
    assert found.tolist() == [0, 0, -10 if bound == "cabs" else 0, 0, 10, 0, 0]


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_gradients_are_odd_codes_in_a_unit_of_their_sample_and_unbiased(bits: int) -> None:
    torch.manual_seed(0)
    g = torch.tensor([[100.0, -3000, 7, 20000], [1, -1, 0, 2], [0, 0, 0, 0]], dtype=torch.float64)
    n = (1 << bits) - 1
    total = torch.zeros_like(g)
    draws = 4000
    for _ in range(draws):
        total += (found := round_gradient(g, bits, noise=True))
    unit = torch.ceil(g.abs().amax(1, keepdim=True) / n)
    codes = found[:2] / unit[:2]
    assert (codes.abs() <= n).all()
    assert (codes % 2 == 1).all()
    assert not found[2].any()
    assert ((total / draws - g).abs() < 5 * 2 * unit / math.sqrt(draws) + 1e-9).all()


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_the_mean_over_all_noises_is_the_gradient(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    g = torch.round(torch.randn(1, 500, dtype=torch.float64) * 3000)
    total = torch.zeros_like(g)
    for sigma in range(1 << 12):
        monkeypatch.setattr(functions, "draw", lambda like, count, sigma=sigma: torch.full_like(like, sigma))
        total += round_gradient(g, bits, noise=True)
    unit = float(torch.ceil(g.abs().max() / ((1 << bits) - 1)))
    errors = total / (1 << 12) - g
    assert errors.abs().max() <= unit / 2**12 + 1e-9
    assert abs(float(errors.mean())) < 0.1 * unit / 2**12 + 1e-9  # neither up nor down


def test_without_noise_the_same_gradient_always_rounds_alike() -> None:
    x = torch.zeros(2, 50, dtype=torch.float64, requires_grad=True)
    g = torch.randint(-1000, 1000, (2, 50)).double()
    first, second = (torch.autograd.grad(with_rounded_gradient(x, 4, False), x, g)[0] for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("bits", ["w1", "w2,weight=uniform", "w8,weight=uniform", "w1,weight=bipolar"])
def test_weight_codes_are_those_of_the_quantizer(bits: str) -> None:
    spec = Spec.parse(bits)
    torch.manual_seed(0)
    masters = torch.randint(-(2**11), 2**11, (7, 300)).double()
    for quantizer in (spec.weight_quantizer(), spec.end_weight_quantizer(spec.first)):
        assert quantizer is not None
        found, wanted = weight_codes(quantizer, masters), quantizer.codes((masters / 2**11).float())[0].double()
        assert (found - wanted).abs().max() <= quantizer.grid.step
        assert (found != wanted).double().mean() < 0.002  # ties in float32
    if spec.middle.weight == 1:
        quantizer = spec.weight_quantizer()
        assert quantizer is not None
        assert torch.equal(weight_codes(quantizer, masters), torch.where(masters >= 0, 1.0, -1.0).double())
