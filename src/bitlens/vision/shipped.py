# SPDX-License-Identifier: Apache-2.0
"""The programs that come with bitlens."""

from __future__ import annotations

from pathlib import Path

__all__ = ["SHIPPED", "shipped_file", "shipped_program"]

SHIPPED = ("face_detector", "face_clearness", "face_pose")


def shipped_file(name: str) -> Path:
    """Return the file of a program that comes with bitlens, one of `SHIPPED`."""
    return Path(__file__).with_name("models") / f"{name}.bitlens"


def shipped_program(name: str) -> bytes:
    """Return the bytes of a program that comes with bitlens, one of `SHIPPED`."""
    return shipped_file(name).read_bytes()
