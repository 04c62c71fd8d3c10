# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from bitlens.models import DigitsNet
from bitlens.quant import Spec


@pytest.mark.parametrize("side", [8, 28])
def test_shapes(side: int) -> None:
    assert DigitsNet(Spec.parse("w1a2"), side)(torch.rand(2, 1, side, side)).shape == (2, 10)


def test_side_is_checked() -> None:
    with pytest.raises(ValueError, match=r"^DigitsNet: side must be a positive multiple of 4, not 10$"):
        DigitsNet(Spec.parse("w1a2"), 10)
