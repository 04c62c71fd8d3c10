# SPDX-License-Identifier: Apache-2.0
"""What files begin with, and files that appear whole or not at all, also after kill -9, a power cut or on a full disk.

>>> write_atomically("m.bitlens", data)
>>> with replacing("x.npz") as stream:
...     np.savez(stream, x=x)
"""

from __future__ import annotations

import errno
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

__all__ = ["ISLANDS_MAGIC", "cache_folder", "check_replaceable", "remove_partial", "replacing", "write_atomically"]

ISLANDS_MAGIC = b"\x89BITISLE"  # of programs with float islands

_PARTIAL = ".partial"
_FULL = (errno.ENOSPC, errno.EDQUOT)


def cache_folder() -> Path:
    """Return the user's cache folder, made if it is not there; one of the temporary files where that cannot be."""
    base = os.environ.get("XDG_CACHE_HOME")
    place = (Path(base) if base else Path.home() / ".cache") / "bitlens"
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError:
        place = Path(tempfile.gettempdir()) / f"bitlens-{os.getuid()}"
        place.mkdir(parents=True, exist_ok=True)
    return place


def write_atomically(path: str | os.PathLike[str], data: bytes | memoryview) -> None:
    """Write a file; see `replacing`."""
    with replacing(path, f"{len(data):,} bytes") as stream:
        stream.write(data)


@contextmanager
def replacing(path: str | os.PathLike[str], content: str = "the file") -> Iterator[BinaryIO]:
    """Open a stream whose bytes take the place of a file when the block ends well.

    Args:
        path: of the file; what a link points to is replaced, pipes and devices are written as they are.
        content: what is written, for the sentence about a full disk.

    Raises:
        OSError: the file cannot be written; the error names `path`, the old file is untouched and nothing else is left.
    """
    place = Path(path)
    try:
        whole = not place.exists() or place.is_file()
        with _beside(Path(os.path.realpath(place))) if whole else place.open("wb") as stream:
            yield stream
    except OSError as error:
        if error.errno is None:
            raise
        reason = f"disk must have room for {content}, not be full" if error.errno in _FULL else error.strerror
        raise OSError(error.errno, reason, str(path)) from error


def check_replaceable(path: str | os.PathLike[str]) -> None:
    """Check, before there is anything to write, that `replacing` could write a file; nothing is changed.

    Raises:
        OSError: it could not; the error names `path`.
    """
    place = Path(path)
    try:
        if place.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not place.exists() or place.is_file():
            with tempfile.TemporaryFile(dir=Path(os.path.realpath(place)).parent):
                pass
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def remove_partial(folder: Path) -> None:
    """Remove what processes that were killed have left half-written in a folder that nobody else writes to."""
    for path in folder.glob(f".*{_PARTIAL}"):
        path.unlink(missing_ok=True)


@contextmanager
def _beside(path: Path) -> Iterator[BinaryIO]:
    """A stream to a hidden neighbour, which takes the name at the end."""
    partial = path.with_name(f".{secrets.token_hex(8)}{_PARTIAL}")
    try:
        with partial.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the name too survives a power cut
    finally:
        os.close(folder)
