# SPDX-License-Identifier: Apache-2.0
"""Decoded images kept on disk, so that a data set is decoded once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from bitlens.core.files import cache_folder, replacing
from bitlens.data.dataset import DataError

__all__ = ["Arrays", "cached", "short"]

Arrays = dict[str, npt.NDArray[Any]]
T = TypeVar("T")


def cached(
    file: Path, name: str, cache: str | Path | None, decode: Callable[[Path], Arrays], build: Callable[[Any], T]
) -> T:
    """Return what `build` makes of the decoded file, from the cache when it is there.

    Args:
        file: the packed file; a cache of its older contents is not used.
        name: of the cache's file, with everything that `decode` depends on.
        cache: folder; the user's cache folder when None.
        decode: from the file to arrays; raises DataError.
        build: from a mapping of arrays to the result.

    Raises:
        DataError: the cache folder cannot be made, or `decode` refuses the file.
    """
    stat = file.stat()
    key = hashlib.sha256(f"{file.resolve()} {stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()[:16]
    store = _folder(cache) / f"{name}-{key}.npz"
    if store.is_file():
        try:
            with store.open("rb") as stream, np.load(stream) as arrays:
                return build(arrays)
        except Exception:  # zip, zlib and numpy each have their own
            store.unlink(missing_ok=True)  # a damaged cache is made again
    decoded = decode(file)
    _save(store, decoded)
    return build(decoded)


def short(error: BaseException) -> str:
    """Return what an error says in one short line; its name where it says nothing."""
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return (words or type(error).__name__).splitlines()[0][:120]


def _folder(cache: str | Path | None) -> Path:
    if cache is not None:
        place = Path(cache)
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{place}: cache must be a writable folder ({short(error)})") from error
        return place
    return cache_folder()


def _save(store: Path, arrays: Arrays) -> None:
    with suppress(OSError), replacing(store) as stream:  # a cache that cannot be written costs time, nothing else
        np.savez(stream, **arrays)  # type: ignore[arg-type]
