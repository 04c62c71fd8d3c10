# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlens.nn import QuantAdd, QuantConcat
from bitlens.quant import exporting


@given(st.integers(2, 12), st.sampled_from([1.0, 4.0]), st.integers(0, 1 << 30))
@settings(deadline=None, max_examples=30)
def test_a_sum_is_the_sum_of_the_branches_integers(bits: int, reach: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    a, b = (2 * torch.randn(2, 3, 4, 4, generator=generator) for _ in range(2))
    join = QuantAdd(bits, reach)
    (ia, scale), (ib, _) = join.input_quantizer.codes(a), join.input_quantizer.codes(b)
    assert torch.equal(join(a, b), (ia + ib) * scale)
    with exporting():
        assert torch.equal(join(a, b), (ia + ib) * scale)


def test_a_concat_shares_one_grid() -> None:
    a, b = torch.randn(2, 3, 4, 4), torch.randn(2, 5, 4, 4)
    join = QuantConcat()
    y = join(a, b)
    assert y.shape == (2, 8, 4, 4)
    integers = y / join.input_quantizer.scale
    assert join.input_quantizer.grid.contains(integers.numpy())
    assert torch.equal(y[:, :3], join.input_quantizer(a))


def test_gradients_reach_every_branch() -> None:
    a, b, c = (torch.zeros(1, 2, requires_grad=True) for _ in range(3))
    QuantAdd()(a, b, c).sum().backward()
    assert a.grad.tolist() == b.grad.tolist() == c.grad.tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize("kind", [QuantAdd, QuantConcat])
def test_one_branch_is_no_join(kind: type) -> None:
    with pytest.raises(ValueError, match=rf"^{kind.__name__}: branches must be at least 2, not 1$"):
        kind()(torch.zeros(1, 2))
