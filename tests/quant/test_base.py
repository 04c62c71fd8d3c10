# SPDX-License-Identifier: Apache-2.0
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from bitlens.core.grid import Grid
from bitlens.quant import (
    BalancedWeight,
    BipolarWeight,
    DoReFaActivation,
    DoReFaWeight,
    FixedPoint,
    JoinActivation,
    LSQActivation,
    LSQWeight,
    MaxScaledWeight,
    MeanScaledWeight,
    NarrowWeight,
    PACTActivation,
    PowerOfTwoWeight,
    QuantError,
    Quantizer,
    TernaryWeight,
    UniformMaxWeight,
    UnitActivation,
    UnsignedInput,
    exporting,
    is_exporting,
)
from bitlens.quant.base import checked_bits, emit_quant, signs, ste_floor, ste_round, straight_through

FAMILIES: dict[str, Callable[[], Quantizer]] = {
    "DoReFaWeight 1": lambda: DoReFaWeight(1),
    "DoReFaWeight 2": lambda: DoReFaWeight(2),
    "DoReFaWeight 8": lambda: DoReFaWeight(8),
    "BalancedWeight 1": lambda: BalancedWeight(1),
    "BalancedWeight 2": lambda: BalancedWeight(2),
    "BalancedWeight leaf": lambda: BalancedWeight(2, slope="leaf"),
    "BalancedWeight median": lambda: BalancedWeight(2, split="median"),
    "BalancedWeight max": lambda: BalancedWeight(2, reach="max"),
    "MaxScaledWeight 2": lambda: MaxScaledWeight(2),
    "MeanScaledWeight 2": lambda: MeanScaledWeight(2),
    "UniformMaxWeight 2": lambda: UniformMaxWeight(2),
    "TernaryWeight": TernaryWeight,
    "BipolarWeight": BipolarWeight,
    "LSQWeight 2": lambda: LSQWeight(2),
    "LSQWeight channels": lambda: LSQWeight(2, channels=True),
    "NarrowWeight 8": NarrowWeight,
    "PowerOfTwoWeight DoReFaWeight 1": lambda: PowerOfTwoWeight(DoReFaWeight(1)),
    "PowerOfTwoWeight BalancedWeight": lambda: PowerOfTwoWeight(BalancedWeight(2)),
    "PowerOfTwoWeight LSQWeight": lambda: PowerOfTwoWeight(LSQWeight(2)),
}
BOUNDED = (
    "DoReFaWeight 2",
    "DoReFaWeight 8",
    "MaxScaled",
    "MeanScaled",
    "LSQ",
)  # tanh or a learned step stops infinity
INPUTS: dict[str, Callable[[], Quantizer]] = {
    "DoReFaActivation clip": lambda: DoReFaActivation(2),
    "DoReFaActivation cabs": lambda: DoReFaActivation(2, "cabs"),
    "PACTActivation": lambda: PACTActivation(2),
    "PACTActivation shift": lambda: PACTActivation(2, shift=True),
    "LSQActivation": lambda: LSQActivation(2),
    "JoinActivation": lambda: JoinActivation(3),
    "UnsignedInput": UnsignedInput,
    "UnitActivation": lambda: UnitActivation(2).eval(),
    "FixedPoint": lambda: FixedPoint(4, 2),
}
VALUES = hnp.arrays(
    np.float32, hnp.array_shapes(min_side=1, max_side=6), elements=st.floats(-4, 4, width=32, allow_subnormal=False)
)
every_family = pytest.mark.parametrize("family", FAMILIES)
every_input = pytest.mark.parametrize("name", INPUTS)


def begun(family: str, w: Tensor) -> Quantizer:
    quantizer = FAMILIES[family]()
    quantizer.begin(w)
    return quantizer


def test_ste_round_goes_half_up_and_passes_the_gradient() -> None:
    x = torch.tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 0.4], requires_grad=True)
    y = ste_round(x)
    assert y.tolist() == [-2, -1, 0, 1, 2, 0]
    y.backward(torch.arange(6.0))
    assert torch.equal(x.grad, torch.arange(6.0))
    assert ste_floor(torch.tensor([-0.1, 0.9])).tolist() == [-1, 0]


def test_straight_through_multiplies_the_gradient_by_the_gain() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = straight_through(x, torch.tensor([3.0, 5.0]), torch.tensor(0.5))
    assert y.tolist() == [3, 5]
    y.backward(torch.tensor([1.0, 4.0]))
    assert x.grad.tolist() == [0.5, 2.0]


def test_exporting_is_undone_after_an_exception() -> None:
    assert not is_exporting()
    with pytest.raises(RuntimeError), exporting():
        assert is_exporting()
        raise RuntimeError
    assert not is_exporting()


@pytest.mark.parametrize(
    "grid", [Grid.odd(k) for k in range(1, 9)] + [Grid.narrow(8), Grid.narrow(2), Grid.span(-7, 7)]
)
def test_grid_values_are_fixed_points_of_the_exported_operator(grid: Grid) -> None:
    scale = torch.tensor(1 / grid.hi, dtype=torch.float32)
    values = torch.from_numpy(grid.values()).float() * scale
    assert torch.equal(emit_quant(values, scale, torch.zeros(()), grid), values)


def test_bits_out_of_range_are_told() -> None:
    assert checked_bits("DoReFaWeight", 3, 1, 8) == 3
    with pytest.raises(QuantError, match=r"^DoReFaWeight: bits must be 1 to 8, not 9$"):
        checked_bits("DoReFaWeight", 9, 1, 8)
    with pytest.raises(QuantError, match=r"^DoReFaWeight: bits must be 1 to 8, not True$"):
        checked_bits("DoReFaWeight", True, 1, 8)


def test_signs_keep_nan() -> None:
    assert signs(torch.tensor([-2.0, -0.0, 0.0, 3.0])).tolist() == [-1, 1, 1, 1]
    assert signs(torch.tensor([math.nan, 1.0])).isnan().tolist() == [True, False]


@every_family
@given(VALUES)
@settings(deadline=None, max_examples=20)
def test_integers_lie_on_the_grid_and_the_product_is_the_value(family: str, w: np.ndarray) -> None:
    quantizer = begun(family, torch.from_numpy(w))
    integers, scale = quantizer.codes(torch.from_numpy(w))
    assert quantizer.grid.contains(integers.detach().numpy())
    assert (scale > 0).all()
    shaped = scale.reshape(-1, *[1] * (w.ndim - 1)) if scale.dim() else scale
    assert torch.equal(quantizer(torch.from_numpy(w)), integers * shaped)


@every_family
def test_a_nan_weight_has_a_nan_integer_and_a_nan_value(family: str) -> None:
    w = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    quantizer = begun(family, w)
    w[1, 2] = math.nan
    assert quantizer.codes(w)[0][1, 2].isnan()
    assert quantizer(w)[1, 2].isnan()
    assert begun(family, w)(w)[1, 2].isnan()  # also where the step started from it


@every_family
@pytest.mark.parametrize("sign", [-1, 1])
def test_an_infinite_weight_is_an_end_of_the_grid_or_shows_in_the_scale(family: str, sign: int) -> None:
    w = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    quantizer = begun(family, w)
    w[1, 2] = sign * math.inf
    integers, scale = quantizer.codes(w)
    if any(name in family for name in BOUNDED):
        assert integers[1, 2] == (quantizer.grid.hi if sign > 0 else quantizer.grid.lo)
        assert scale.isfinite().all()
        assert integers.isfinite().all()
    else:
        assert not scale.isfinite().all()
        assert not quantizer(w)[1].isfinite().all()


@every_family
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_no_weights_are_refused(family: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(QuantError) as caught:
        begun(family, torch.zeros(shape)).codes(torch.zeros(shape))
    owner = family.removeprefix("PowerOfTwoWeight ").split()[0]
    assert str(caught.value) == f"{owner}: weights must hold values, not none"


@every_family
@pytest.mark.parametrize("value", [0.0, 0.3, -0.3])
def test_constant_weights_are_one_integer_and_keep_a_gradient_of_their_size(family: str, value: float) -> None:
    w = torch.full((2, 3), value, requires_grad=True)
    quantizer = begun(family, w.detach())
    integers, scale = quantizer.codes(w)
    assert quantizer.grid.contains(integers.detach().numpy())
    assert len(integers.unique()) == 1
    assert (scale > 0).all()
    quantizer(w).sum().backward()
    assert (w.grad.abs() <= 2).all()
    if value == 0 and "leaf" not in family and not family.startswith("PowerOfTwo") and family != "BipolarWeight":
        assert torch.allclose(w.grad, torch.ones(2, 3))


@every_input
def test_a_nan_activation_stays_alone(name: str) -> None:
    quantizer, x = INPUTS[name](), torch.rand(3, 5, generator=torch.Generator().manual_seed(0))
    before = quantizer(x)
    x[1, 2] = math.nan
    assert quantizer.codes(x)[0][1, 2].isnan()
    after = quantizer(x)
    assert after[1, 2].isnan()
    before[1, 2] = after[1, 2] = 0
    assert torch.equal(after, before)


@every_input
def test_infinite_activations_are_the_ends_of_the_grid(name: str) -> None:
    quantizer = INPUTS[name]()
    integers = quantizer.codes(torch.tensor([[-math.inf, math.inf]]))[0]
    assert integers.tolist() == [[quantizer.grid.hi if "cabs" in name else quantizer.grid.lo, quantizer.grid.hi]]


@every_input
@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0, 4)])
def test_no_activations_give_none(name: str, shape: tuple[int, ...]) -> None:
    x = torch.zeros(shape, requires_grad=True)
    y = INPUTS[name]()(x)
    y.sum().backward()
    assert y.shape == x.grad.shape == shape


@every_input
@given(VALUES)
@settings(deadline=None, max_examples=20)
def test_activations_lie_on_the_grid_and_rise(name: str, x: np.ndarray) -> None:
    quantizer = INPUTS[name]()
    integers = quantizer.codes(torch.from_numpy(x))[0].detach().numpy()
    assert quantizer.grid.contains(integers)
    by = np.abs(x) if "cabs" in name else x
    assert (np.diff(integers.reshape(-1)[np.argsort(by.reshape(-1), kind="stable")]) >= 0).all()


@every_input
@given(VALUES)
@settings(deadline=None, max_examples=20)
def test_quantizing_activations_twice_changes_nothing(name: str, x: np.ndarray) -> None:
    once = INPUTS[name]()(torch.from_numpy(x))
    assert torch.equal(INPUTS[name]()(once), once)


@every_input
def test_real_zero_is_the_integer_zero(name: str) -> None:
    assert INPUTS[name]().codes(torch.tensor([[0.0, -0.0]]))[0].tolist() == [[0, 0]]
