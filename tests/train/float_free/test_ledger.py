# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bitlens.train.float_free import Ledger
from bitlens.train.float_free.ledger import width


@given(st.lists(st.integers(-(2**31) + 1, 2**31 - 1), min_size=1, max_size=5), st.integers(-60, 60))
def test_width_of_integers_times_a_power_of_two(values: list[int], exponent: int) -> None:
    x = torch.tensor(values, dtype=torch.float64) * 2.0**exponent
    largest = max(abs(v) for v in values)
    twos = min(((v & -v).bit_length() - 1 for v in values if v), default=0)
    assert width(x) == ((largest >> twos).bit_length() + 1 if largest else 0)


def test_width_at_the_edges() -> None:
    def of(*values: float) -> int:
        return width(torch.tensor(values, dtype=torch.float64))

    assert of() == of(0.0) == 0
    assert of(float("nan"), 1) == of(float("inf")) == 64
    assert of(1.0, 2.0**-40) == 42
    assert of(1.0, 2.0**-70) == 64


@pytest.mark.parametrize(
    ("operation", "name"),
    [
        (lambda x: x / 3, "aten.div.Tensor"),
        (lambda x: x.sqrt(), "aten.sqrt"),
        (lambda x: x.exp(), "aten.exp"),
        (lambda x: x.softmax(0), "aten._softmax"),
        (lambda x: x.mean(), "aten.mean"),
        (lambda x: x * 0.1, "aten.mul.Tensor"),
        (lambda x: x + 2.0**40, "aten.add.Tensor"),
        (lambda x: torch.rand_like(x), "aten.rand_like"),
        (lambda x: x.mul_(0.1), "aten.mul_"),
        (lambda x: torch._foreach_mul_([x], 0.1), "aten._foreach_mul_"),
        (lambda x: torch.complex(x, x), "aten.complex"),
    ],
)
def test_one_float_operation_is_found(operation: object, name: str) -> None:
    x = torch.tensor([5.0, 7.0, 11.0], dtype=torch.float64)
    assert callable(operation)
    with Ledger() as ledger:
        y = x * 2.0**-7 + 3
        operation(y)
    assert (ledger.floats, ledger.tensors) == (1, 3)
    assert ledger.offenders[0].startswith(name)


def test_a_wide_integer_is_none_of_32_bits() -> None:
    x = torch.tensor([3, -5])
    with Ledger() as ledger:
        for factor in ((1 << 31) - 1) // 5, 1 << 40:
            x * factor
    assert (ledger.floats, ledger.offenders) == (1, ["aten.mul.Tensor (44)"])


def test_a_float32_tensor_is_a_float() -> None:
    with Ledger() as ledger:
        torch.ones(3)
    assert (ledger.floats, ledger.offenders) == (1, ["aten.ones.default (64)"])


def test_integers_logic_and_unwritten_memory_count_as_none() -> None:
    with Ledger() as ledger:
        torch.empty(100, dtype=torch.float64)
        torch.arange(3).gt(1)
    assert (ledger.operations > 2, ledger.tensors, ledger.floats) == (True, 0, 0)
