# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bitlens.nn import QuantAdd, QuantConcat
from bitlens.quant import DoReFaActivation, JoinActivation, exporting


@given(st.integers(2, 12), st.sampled_from([1.0, 4.0]), st.integers(0, 1 << 30))
@settings(deadline=None, max_examples=30)
def test_a_sum_is_the_sum_of_the_branches_integers(bits: int, reach: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    a, b = (2 * torch.randn(2, 3, 4, 4, generator=generator) for _ in range(2))
    join = QuantAdd(input_quantizer=JoinActivation(bits, reach))
    (ia, scale), (ib, _) = join.input_quantizer.codes(a), join.input_quantizer.codes(b)
    assert torch.equal(join(a, b), (ia + ib) * scale)
    with exporting():
        assert torch.equal(join(a, b), (ia + ib) * scale)


def test_a_concat_shares_one_grid() -> None:
    a, b = torch.randn(2, 3, 4, 4), torch.randn(2, 5, 4, 4)
    join = QuantConcat(input_quantizer=JoinActivation())
    y = join(a, b)
    assert y.shape == (2, 8, 4, 4)
    integers = y / join.input_quantizer.scale
    assert join.input_quantizer.grid.contains(integers.numpy())
    assert torch.equal(y[:, :3], join.input_quantizer(a))


@given(st.integers(1, 8), st.sampled_from(["clip", "cabs"]), st.integers(0, 1 << 30))
@settings(deadline=None, max_examples=40)
def test_what_activations_joined_the_next_layers_quantizer_leaves(bits: int, bound: str, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    branches = [torch.randn(2, 3, 4, 4, generator=generator) for _ in range(3)]
    joined = QuantConcat(input_quantizer=DoReFaActivation(bits, bound))(*branches)
    once = DoReFaActivation(bits, bound).codes(torch.cat(branches, 1))[0]
    assert torch.equal(DoReFaActivation(bits, bound).codes(joined)[0], once)


def test_gradients_reach_every_branch() -> None:
    a, b, c = (torch.zeros(1, 2, requires_grad=True) for _ in range(3))
    QuantAdd(input_quantizer=JoinActivation())(a, b, c).sum().backward()
    assert a.grad.tolist() == b.grad.tolist() == c.grad.tolist() == [[1.0, 1.0]]


def test_without_a_quantizer_reals_are_joined() -> None:
    a, b = torch.randn(2, 3), torch.randn(2, 3)
    assert torch.equal(QuantAdd()(a, b), a + b)
    assert torch.equal(QuantConcat(input_quantizer=nn.ReLU())(a, b), torch.cat([a.relu(), b.relu()], 1))


@pytest.mark.parametrize("kind", [QuantAdd, QuantConcat])
def test_one_branch_is_no_join(kind: type) -> None:
    with pytest.raises(ValueError, match=rf"^{kind.__name__}: branches must be at least 2, not 1$"):
        kind()(torch.zeros(1, 2))
