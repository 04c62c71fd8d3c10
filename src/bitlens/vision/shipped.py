# SPDX-License-Identifier: Apache-2.0
"""The programs that come with bitlens."""

from __future__ import annotations

from importlib.resources import files

__all__ = ["shipped_program"]


def shipped_program(name: str) -> bytes:
    """Return the bytes of a program that comes with bitlens: face_detector, face_clearness or face_pose."""
    return (files("bitlens.vision") / "models" / f"{name}.bitlens").read_bytes()
