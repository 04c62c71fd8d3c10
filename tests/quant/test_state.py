# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bitlens.quant import FixedPoint, QuantError, UnitActivation, fixed_point, unit_activation

BITS = st.integers(1, 16)
VALUES = st.lists(st.floats(0, 1, width=32), max_size=20)


@given(BITS, VALUES)
def test_unit_rounds_half_up_and_twice_is_once(bits: int, values: list[float]) -> None:
    x = torch.tensor(values)
    quantizer = UnitActivation(bits)
    integers, scale = quantizer.codes(x)
    assert quantizer.grid.contains(integers.numpy())
    assert scale == np.float32(1 / ((1 << bits) - 1))
    assert integers.tolist() == [math.floor(float(np.float32(v) / scale.numpy() + np.float32(0.5))) for v in x.numpy()]
    assert torch.equal(quantizer.codes(unit_activation(x, bits))[0], integers)


@given(BITS)
def test_unit_keeps_codes_doubled_by_dropout_in_training_only(bits: int) -> None:
    quantizer = UnitActivation(bits)
    codes = torch.arange(min(1 << bits, 1 << 10)).float()
    assert torch.equal(quantizer.codes(codes * quantizer.scale * 2)[0], 2 * codes)
    assert torch.equal(quantizer.eval().codes(codes * quantizer.scale * 2)[0], (2 * codes).clamp(max=(1 << bits) - 1))


@pytest.mark.parametrize("quantizer", [UnitActivation(2), FixedPoint(4, 2)])
def test_gradient_is_the_identity_everywhere(quantizer: UnitActivation | FixedPoint) -> None:
    x = torch.tensor([0.0, 0.4, 1.0, 9.0], requires_grad=True)
    quantizer(x).sum().backward()
    assert torch.allclose(x.grad, torch.ones(4))


@given(BITS, st.integers(0, 16), st.lists(st.floats(-2, 300, width=32), max_size=20))
def test_fixed_point_saturates(bits: int, fraction: int, values: list[float]) -> None:
    integers, scale = FixedPoint(bits, fraction).codes(torch.tensor(values))
    assert scale == 2.0**-fraction
    scaled = [np.floor(np.float32(v * 2.0**fraction) + np.float32(0.5)) for v in torch.tensor(values).tolist()]
    assert integers.tolist() == [min(max(v, 0), (1 << bits) - 1) for v in scaled]
    assert torch.equal(fixed_point(torch.tensor(values), bits, fraction), integers * scale)


def test_bad_arguments() -> None:
    for make, sentence in (
        (lambda: UnitActivation(0), "UnitActivation: bits must be 1 to 16, not 0"),
        (lambda: FixedPoint(17, 8), "FixedPoint: bits must be 1 to 16, not 17"),
        (lambda: FixedPoint(8, -1), "FixedPoint: fraction must be 0 to 16, not -1"),
    ):
        with pytest.raises(QuantError) as caught:
            make()
        assert str(caught.value) == sentence


def test_zero_and_names() -> None:
    assert UnitActivation(3)(torch.zeros(2)).tolist() == [0, 0]
    assert FixedPoint(8, 8)(torch.zeros(2)).tolist() == [0, 0]
    assert repr(FixedPoint(12, 8)) == "FixedPoint(unsigned 12, fraction=8)"
    assert repr(UnitActivation(2)) == "UnitActivation(unsigned 2)"
