# SPDX-License-Identifier: Apache-2.0
import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bitlens.quant import (
    AccumulatorBias,
    JoinActivation,
    NarrowWeight,
    QuantError,
    UnsignedInput,
    exporting,
    join_activation,
    narrow_weight,
    unsigned_input,
)

f = np.float32
WEIGHTS = hnp.arrays(
    np.float32, hnp.array_shapes(min_side=1, max_side=6), elements=st.floats(-4, 4, width=32, allow_subnormal=False)
)


@given(st.integers(2, 8), st.integers(0, 1 << 30))
@settings(deadline=None, max_examples=40)
def test_narrow_weights_are_on_the_grid_and_near(bits: int, seed: int) -> None:
    w = torch.randn(60, generator=torch.Generator().manual_seed(seed))
    quantizer = NarrowWeight(bits)
    integers, scale = quantizer.codes(w)
    assert quantizer.grid.contains(integers.numpy())
    assert integers.abs().max() == quantizer.grid.hi
    assert torch.all((integers * scale - w).abs() <= scale * 0.50001)
    assert torch.equal(narrow_weight(w, bits), integers * scale)
    assert torch.allclose(quantizer(quantizer(w)), quantizer(w))


def test_narrow_gradient_is_the_identity() -> None:
    w = torch.randn(30, requires_grad=True)
    g = torch.randn(30)
    narrow_weight(w).backward(g)
    assert torch.allclose(w.grad, g, rtol=1e-5)


def test_zero_weights_stay_zero() -> None:
    assert NarrowWeight().codes(torch.zeros(4))[0].tolist() == [0, 0, 0, 0]


@given(WEIGHTS, st.integers(2, 8), st.sampled_from([0.25, 2.0, 8.0]))
def test_narrow_weights_rise_keep_zero_and_scale_with_their_input(w: np.ndarray, bits: int, factor: float) -> None:
    x = torch.from_numpy(w)
    integers = NarrowWeight(bits).codes(x)[0]
    assert (np.diff(integers.numpy().reshape(-1)[np.argsort(w.reshape(-1), kind="stable")]) >= 0).all()
    assert (integers[x == 0] == 0).all()
    if np.abs(w).max() > 1e-3:
        assert torch.equal(narrow_weight(factor * x, bits), factor * narrow_weight(x, bits))


def test_the_gradient_of_images_is_the_identity_inside() -> None:
    x = torch.tensor([-0.5, 0.0, 0.3, 1.0, 1.5], requires_grad=True)
    unsigned_input(x, 2).sum().backward()
    assert torch.allclose(x.grad, torch.tensor([0.0, 1.0, 1.0, 1.0, 0.0]))


def test_images_give_their_bytes_back() -> None:
    image = torch.arange(256).float() / 255
    integers, scale = UnsignedInput().codes(image)
    assert integers.tolist() == list(range(256))
    assert scale.numpy() == f(1 / 255)
    assert torch.equal(unsigned_input(unsigned_input(image)), unsigned_input(image))


@given(st.integers(2, 16), st.sampled_from([0.5, 1.0, 4.0]), st.integers(0, 1 << 30))
@settings(deadline=None, max_examples=40)
def test_joins_round_half_up_on_both_sides(bits: int, reach: float, seed: int) -> None:
    x = 2 * torch.randn(80, generator=torch.Generator().manual_seed(seed))
    quantizer = JoinActivation(bits, reach)
    integers, scale = quantizer.codes(x)
    exact = np.floor(x.double().numpy() / (reach / 2 ** (bits - 1)) + 0.5)
    assert np.all(np.abs(integers.numpy() - np.clip(exact, quantizer.grid.lo, quantizer.grid.hi)) <= (bits > 12))
    assert torch.equal(quantizer(quantizer(x)), quantizer(x))
    assert torch.equal(join_activation(x, bits, reach), integers * scale)
    with exporting():
        assert torch.equal(quantizer(x), integers * scale)  # the exported operator is the same function


def test_join_ties_and_gradient() -> None:
    quantizer = JoinActivation(3, 4.0)  # scale 1, -4..3
    x = torch.tensor([-9.0, -2.5, -0.5, 0.0, 0.5, 1.5, 9.0], requires_grad=True)
    y = quantizer(x)
    assert y.tolist() == [-4, -2, 0, 0, 1, 2, 3]
    y.sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 1, 1, 1, 0]


@pytest.mark.parametrize("reach", [3.0, 0.0, -4.0, 2.0**-65, 2.0**65, float("inf"), float("nan")])
def test_reach_must_be_a_power_of_two(reach: float) -> None:
    with pytest.raises(
        QuantError,
        match=rf"^JoinActivation: reach must be a power of two from 2\^-64 to 2\^64, not {re.escape(str(reach))}$",
    ):
        JoinActivation(8, reach)


def test_bias_lands_on_the_accumulators_grid() -> None:
    bias, scale = torch.tensor([0.25, -0.125, 1e9], requires_grad=True), torch.tensor(0.25)
    integers = AccumulatorBias().on_grid(bias, scale)
    assert integers.tolist() == [1, 0, 1 << 22]
    (integers * scale).sum().backward()
    assert bias.grad.tolist() == [1, 1, 1]  # also of the one that is clipped
    with pytest.raises(QuantError, match=r"^AccumulatorBias: codes need the accumulator's scale, call on_grid"):
        AccumulatorBias()(bias)


@given(hnp.arrays(np.float32, st.integers(1, 9), elements=st.floats(-1e6, 1e6, width=32)), st.sampled_from([0.5, 8.0]))
def test_biases_lie_on_the_grid_rise_and_scale_with_their_unit(bias: np.ndarray, factor: float) -> None:
    quantizer, b, unit = AccumulatorBias(), torch.from_numpy(bias), torch.tensor(0.03)
    integers = quantizer.on_grid(b, unit)
    assert quantizer.grid.contains(integers.numpy())
    assert (np.diff(integers.numpy()[np.argsort(bias, kind="stable")]) >= 0).all()
    assert torch.equal(quantizer.on_grid(factor * b, factor * unit), integers)
    assert torch.equal(quantizer.on_grid(integers * 0.25, torch.tensor(0.25)), integers)  # twice is once


def test_biases_at_the_edges() -> None:
    values = torch.tensor([0.0, float("inf"), -float("inf"), float("nan")])
    *known, lost = AccumulatorBias().on_grid(values, torch.tensor(0.5)).tolist()
    assert known == [0, 1 << 22, -(1 << 22)]
    assert math.isnan(lost)
    assert AccumulatorBias().on_grid(torch.zeros(0), torch.tensor(0.5)).shape == (0,)


def test_modules_name_themselves() -> None:
    assert str(NarrowWeight()) == "NarrowWeight(narrow 8)"
    assert str(JoinActivation()) == "JoinActivation(signed 8, reach=4.0)"
    assert str(AccumulatorBias()) == "AccumulatorBias()"
