# SPDX-License-Identifier: Apache-2.0
"""The idx format of MNIST's public files, plain or gzipped."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bitlens.data.cache import short
from bitlens.data.dataset import DataError

__all__ = ["read_idx"]

_UINT8 = 8


def read_idx(path: str | Path) -> npt.NDArray[np.uint8]:
    """Read an array of unsigned bytes.

    Args:
        path: the file; gzip is recognised by its first bytes.

    Returns:
        uint8, of the shape that the file states.

    Raises:
        DataError: the file is missing, damaged, or holds another type.

    Source: yann.lecun.com/exdb/mnist: two zero bytes, type, number of axes, big-endian sizes, data.
    """
    file = Path(path)
    try:
        raw = file.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file}: must be a readable idx file ({short(error)})") from error
    if len(raw) < 4 or raw[:2] != b"\0\0":
        raise DataError(f"{file}: must start with two zero bytes and a type (idx), not {raw[:4].hex()}")
    if raw[2] != _UINT8:
        raise DataError(f"{file}: type must be 8 (unsigned bytes), not {raw[2]}")
    start = 4 + 4 * raw[3]
    shape = tuple(int.from_bytes(raw[i : i + 4], "big") for i in range(4, start, 4))
    if len(raw) != start + math.prod(shape):
        raise DataError(f"{file}: length must be {start + math.prod(shape)} bytes for {shape}, not {len(raw)}")
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)
