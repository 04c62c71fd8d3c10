# SPDX-License-Identifier: Apache-2.0
"""Reads the bytes of a file, bounds-checked: nothing in it is believed (docs/format.md)."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.core.files import ISLANDS_MAGIC
from bitlens.core.grid import Grid, GridError
from bitlens.graph.encode import HEADER, LONGEST_TEXT, VERSION
from bitlens.graph.graph import GraphError

__all__ = ["Cursor", "FormatError", "opened"]


class FormatError(GraphError):
    """A file that is not a valid `.bitlens` file."""


class Cursor:
    """Reads from a buffer and never past its end."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        """The next bytes; every other method comes through here."""
        if count > len(self.data) - self.at:
            raise FormatError(
                f"file: offset {self.at} must be followed by {count} bytes, not {len(self.data) - self.at}"
            )
        self.at += count
        return self.data[self.at - count : self.at]

    def unpack(self, layout: str) -> tuple[Any, ...]:
        """The next fields of a `struct` layout, little-endian."""
        return struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout)))

    def number(self, layout: str) -> int:
        """The next number."""
        (value,) = self.unpack(layout)
        return int(value)

    def array(self, dtype: npt.DTypeLike, count: int) -> npt.NDArray[Any]:
        """The next `count` numbers."""
        return np.frombuffer(self.take(np.dtype(dtype).itemsize * count), dtype)

    def text(self, longest: int = LONGEST_TEXT) -> str:
        """The next short text, without control characters."""
        start = self.at
        length = self.number("H")
        if length > longest:
            raise FormatError(f"file: text at offset {start} must have at most {longest} bytes, not {length}")
        text = self._utf8(length, start)
        if any(ord(character) < 32 or character == "\x7f" for character in text):
            raise FormatError(f"file: text at offset {start} must have no control characters")
        return text

    def long_text(self) -> str:
        """The next text of any length."""
        return self._utf8(self.number("I"), self.at)

    def _utf8(self, length: int, start: int) -> str:
        try:
            return self.take(length).decode()
        except UnicodeDecodeError:
            raise FormatError(f"file: text at offset {start} must be UTF-8") from None

    def grid(self) -> Grid:
        """The next grid."""
        start = self.at
        try:
            return Grid(*self.unpack("iiB"))
        except GridError as error:
            raise FormatError(f"file: offset {start}: {error}") from None

    def floats(self, channels: int, default: float, what: str) -> npt.NDArray[np.float32]:
        """The next finite numbers: one, one a channel, or none for the default."""
        start = self.at
        count = self.number("I")
        if count not in (0, 1, channels):
            raise FormatError(f"file: {what} at offset {start} must have 0, 1 or {channels} numbers, not {count}")
        values = self.array("<f4", count).astype(np.float32)
        if not np.all(np.isfinite(values)):
            raise FormatError(f"file: {what} at offset {start} must be finite")
        return np.array(default, np.float32) if count == 0 else values.reshape(()) if count == 1 else values


def opened(data: bytes, magic: bytes) -> Cursor:
    """Check a file's header; a cursor behind it.

    Raises:
        FormatError: the bytes are truncated, changed or of another version.
    """
    if data[:8] != magic and data[:8] == ISLANDS_MAGIC:
        raise FormatError(
            "file: program must be of integers alone, not have float islands on the host; open it with bitlens.Session in "
            "Python, or compile it without --float-islands"
        )
    if data[:8] != magic:
        found = data[:8].hex(" ") or "none"
        raise FormatError(f"file: the first 8 bytes must be {magic.hex(' ')} (.bitlens), not {found}")
    if len(data) < HEADER.size:
        raise FormatError(f"file: header must have {HEADER.size} bytes, not {len(data)}")
    _, version, checksum, length = HEADER.unpack(data[: HEADER.size])
    if version != VERSION:
        raise FormatError(f"file: version must be {VERSION}, not {version}; use the bitlens release that wrote it")
    if length != len(data):
        raise FormatError(f"file: length must be {length} bytes as its header says, not {len(data)}")
    if zlib.crc32(data[16:]) != checksum:
        raise FormatError("file: checksum must match the content; the file is damaged")
    cursor = Cursor(data)
    cursor.at = HEADER.size
    return cursor
