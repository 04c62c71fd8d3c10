# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from bitlens.core.grid import Grid
from bitlens.quant import QuantError, exporting, is_exporting
from bitlens.quant.base import checked_bits, emit_quant, ste_floor, ste_round, straight_through


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
