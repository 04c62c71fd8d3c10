# SPDX-License-Identifier: Apache-2.0
import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitlens.data import DataError, read_idx


def idx(array: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


@given(st.lists(st.integers(0, 5), min_size=1, max_size=3), st.booleans())
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_reads_plain_and_gzipped(tmp_path: Path, shape: list[int], packed: bool) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    raw = idx(array)
    (tmp_path / "x").write_bytes(gzip.compress(raw) if packed else raw)
    assert np.array_equal(read_idx(tmp_path / "x"), array)


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"", "must start with two zero bytes and a type (idx), not "),
        (b"PK\3\4", "must start with two zero bytes and a type (idx), not 504b0304"),
        (bytes([0, 0, 13, 1, 0, 0, 0, 0]), "type must be 8 (unsigned bytes), not 13"),
        (idx(np.zeros((2, 3), np.uint8))[:-1], "length must be 18 bytes for (2, 3), not 17"),
        (idx(np.zeros((2, 3), np.uint8)) + b"x", "length must be 18 bytes for (2, 3), not 19"),
        (bytes([0, 0, 8, 3, 0]), "length must be"),
        (
            gzip.compress(b"abc" * 99, mtime=0)[:-9],
            "must be a readable idx file (Compressed file ended before the end-of-stream marker was reached)",
        ),
    ],
)
def test_damage_is_told(tmp_path: Path, raw: bytes, sentence: str) -> None:
    (tmp_path / "x").write_bytes(raw)
    with pytest.raises(DataError) as caught:
        read_idx(tmp_path / "x")
    assert str(caught.value).startswith(f"{tmp_path / 'x'}: {sentence}")


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_idx(tmp_path / "none")
    assert str(caught.value) == f"{tmp_path / 'none'}: must be a readable idx file (No such file or directory)"
