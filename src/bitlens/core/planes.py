# SPDX-License-Identifier: Apache-2.0
"""Dense bit planes: how codes lie on disk, at their true bit width.

Plane p holds bit p of every code, one bit each, bit i of the plane in bit i mod 8 of byte i div 8.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["pack_planes", "plane_bytes", "unpack_planes"]


def plane_bytes(count: int) -> int:
    """Bytes of one plane of `count` codes."""
    return (count + 7) // 8


def pack_planes(codes: npt.ArrayLike, bits: int) -> bytes:
    """Pack codes 0..2^bits-1 of any shape, last axis fastest, into `bits` planes, lowest bit first."""
    flat = np.asarray(codes, np.int64).reshape(-1)
    planes = [np.packbits((flat >> p & 1).astype(np.uint8), bitorder="little") for p in range(bits)]
    return b"".join(plane.tobytes() for plane in planes)


def unpack_planes(data: bytes, count: int, bits: int) -> npt.NDArray[np.int64]:
    """Unpack `count` codes; the inverse of `pack_planes`. `data` holds bits * plane_bytes(count) bytes."""
    rows = np.frombuffer(data, np.uint8).reshape(bits, plane_bytes(count))
    codes = np.zeros(count, np.int64)
    for p in range(bits):
        codes |= np.unpackbits(rows[p], count=count, bitorder="little").astype(np.int64) << p
    return codes
