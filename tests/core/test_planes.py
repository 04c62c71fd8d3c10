# SPDX-License-Identifier: Apache-2.0
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bitlens.core.planes import pack_planes, plane_bytes, unpack_planes


@given(st.integers(1, 16), st.integers(0, 70), st.integers(0, 1 << 30))
def test_planes_hold_one_bit_of_every_code(bits: int, count: int, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(0, 1 << bits, count)
    data = pack_planes(codes, bits)
    assert len(data) == bits * plane_bytes(count)
    for p in range(bits):
        plane = data[p * plane_bytes(count) : (p + 1) * plane_bytes(count)]
        assert all(plane[i // 8] >> (i % 8) & 1 == codes[i] >> p & 1 for i in range(count))
    assert unpack_planes(data, count, bits).tolist() == codes.tolist()


def test_the_last_byte_is_filled_with_zeros() -> None:
    assert pack_planes([1, 1, 1], 1) == b"\x07"
