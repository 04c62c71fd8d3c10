# SPDX-License-Identifier: Apache-2.0
import os
from pathlib import Path

import numpy as np
import pytest

from bitlens.data.cache import Arrays, cached
from bitlens.data.dataset import DataError


class Decoder:
    """Counts how often it decodes."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, file: Path) -> Arrays:
        self.calls += 1
        return {"bytes": np.frombuffer(file.read_bytes(), np.uint8)}


def read(file: Path, cache: Path | None, decode: Decoder) -> bytes:
    return cached(file, "name", cache, decode, lambda arrays: arrays["bytes"].tobytes())


def test_a_file_is_decoded_once_and_again_when_it_changes(tmp_path: Path) -> None:
    file, decode = tmp_path / "packed", Decoder()
    file.write_bytes(b"one")
    assert [read(file, tmp_path / "cache", decode) for _ in range(3)] == [b"one"] * 3
    assert decode.calls == 1
    file.write_bytes(b"other")
    assert read(file, tmp_path / "cache", decode) == b"other"
    assert decode.calls == 2


@pytest.mark.parametrize("damage", [b"", b"junk", None, "method", "encrypted"])
def test_a_damaged_cache_is_made_again(tmp_path: Path, damage: bytes | str | None) -> None:
    file, decode = tmp_path / "packed", Decoder()
    file.write_bytes(b"one")
    read(file, tmp_path / "cache", decode)
    (store,) = (tmp_path / "cache").iterdir()
    if damage is None:
        with store.open("wb") as stream:
            np.savez(stream, other=np.zeros(1))
    elif isinstance(damage, str):
        raw = bytearray(store.read_bytes())
        entry = raw.rindex(b"PK\1\2")  # of the directory: flags at 8, method at 10
        raw[entry + {"method": 10, "encrypted": 8}[damage]] ^= 1
        store.write_bytes(raw)
    else:
        store.write_bytes(damage)
    assert read(file, tmp_path / "cache", decode) == b"one"
    assert read(file, tmp_path / "cache", decode) == b"one"
    assert decode.calls == 2


def test_the_users_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "packed"
    file.write_bytes(b"one")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    read(file, None, Decoder())
    assert len([*(tmp_path / "xdg" / "bitlens").iterdir()]) == 1
    (tmp_path / "no").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "temporary"))
    read(file, None, Decoder())
    assert len([*(tmp_path / "temporary" / f"bitlens-{os.getuid()}").iterdir()]) == 1


def test_a_cache_that_cannot_be_written_costs_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    file, decode = tmp_path / "packed", Decoder()
    file.write_bytes(b"one")
    monkeypatch.setattr(np, "savez", full)
    assert read(file, tmp_path / "cache", decode) == b"one"
    assert not [*(tmp_path / "cache").iterdir()]


def test_an_unusable_cache_is_told(tmp_path: Path) -> None:
    file = tmp_path / "packed"
    file.touch()
    with pytest.raises(DataError, match=r"packed: cache must be a writable folder \(File exists\)"):
        read(file, file, Decoder())
