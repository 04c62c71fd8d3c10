# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from bitlens.quant.onnx_op import integer_range, quant

TIES = torch.tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
ONE, ZERO = torch.ones(()), torch.zeros(())


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("ROUND", [-2, -2, 0, 0, 2, 2]),
        ("HALF_UP", [-3, -2, -1, 1, 2, 3]),
        ("FLOOR", [-3, -2, -1, 0, 1, 2]),
        ("CEIL", [-2, -1, 0, 1, 2, 3]),
    ],
)
def test_rounding_modes_at_ties(mode: str, expected: list[int]) -> None:
    assert quant(TIES, ONE, ZERO, 8, True, False, mode).tolist() == expected


@pytest.mark.parametrize(
    ("signed", "narrow", "expected"),
    [(True, False, (-4, 3)), (True, True, (-3, 3)), (False, False, (0, 7)), (False, True, (0, 6))],
)
def test_ranges(signed: bool, narrow: bool, expected: tuple[int, int]) -> None:
    assert integer_range(3, signed, narrow) == expected
    x = torch.tensor([-100.0, 100.0])
    assert quant(x, ONE, ZERO, 3, signed, narrow, "ROUND").tolist() == list(expected)


def test_zero_point_and_scale() -> None:
    y = quant(torch.tensor([0.0, 0.3, 9.0]), torch.tensor(0.5), torch.tensor(1.0), 2, False, False, "ROUND")
    assert y.tolist() == [0.0, 0.5, 1.0]  # codes 1, 2, 3 minus 1, times a half


def test_unknown_mode_is_told() -> None:
    with pytest.raises(ValueError, match=r"^bitlens::quant: rounding_mode must be one of .*, not UP$"):
        quant(TIES, ONE, ZERO, 8, True, False, "UP")


def test_the_operator_is_well_formed() -> None:
    torch.library.opcheck(quant, (TIES, ONE, ZERO, 4, True, True, "ROUND"))
