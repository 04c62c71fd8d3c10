# SPDX-License-Identifier: Apache-2.0
from typing import Any

import pytest
import torch

from bitlens.train.products import products


def test_products_of_codes_are_exact() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randint(-256, 257, shape, generator=generator).float() for shape in ((65, 200), (200, 33)))
    with products(bf16=True):
        found = a @ b
    assert torch.equal(found.double(), a.double() @ b.double())


@pytest.mark.parametrize(("bf16", "within"), [(True, "bf16"), (False, "none")])
def test_it_holds_inside_the_block_alone(bf16: bool, within: str) -> None:
    mkldnn: Any = torch.backends.mkldnn
    matmul = mkldnn.matmul
    before = matmul.fp32_precision
    with pytest.raises(KeyError), products(bf16):
        assert matmul.fp32_precision == within
        raise KeyError
    assert matmul.fp32_precision == before
