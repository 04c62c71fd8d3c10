# SPDX-License-Identifier: Apache-2.0
"""What goes over the wire; the hook itself and runs of several processes are in test_group.py."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bitlens.train.exchange import WIRE_BITS, pack, unpack

PACKED = [bits for bits in WIRE_BITS if bits < 32]


@given(st.sampled_from(PACKED), st.lists(st.integers(0, 255), max_size=40))
def test_packing_keeps_every_code(bits: int, values: list[int]) -> None:
    codes = torch.tensor([value % (1 << bits) for value in values], dtype=torch.uint8)
    packed = pack(codes, bits)
    assert packed.dtype == torch.uint8
    assert len(packed) == -(-len(codes) * bits // 8)  # no bit more than a whole byte asks for
    assert torch.equal(unpack(packed, bits)[: len(codes)], codes.float())
    assert not unpack(packed, bits)[len(codes) :].any()


def test_the_first_code_lies_lowest() -> None:
    assert pack(torch.tensor([1, 2, 15], dtype=torch.uint8), 4).tolist() == [0x21, 0x0F]


@pytest.mark.parametrize("bits", PACKED)
def test_codes_take_their_bits_and_no_more(bits: int) -> None:
    assert pack(torch.zeros(1024, dtype=torch.uint8), bits).numel() * 32 == 1024 * 4 * bits
