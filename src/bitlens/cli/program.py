# SPDX-License-Identifier: Apache-2.0
"""Programs as commands are told them: a file, or the name of one that comes with bitlens."""

from __future__ import annotations

from pathlib import Path

__all__ = ["MODEL_HELP", "program_path"]

MODEL_HELP = "a file, or face_detector, face_clearness or face_pose, which come with bitlens"


def program_path(text: str) -> str:
    """Return the path of a program; a file of the name goes before a shipped program."""
    if Path(text).exists():
        return text
    from bitlens.vision.shipped import SHIPPED, shipped_file

    return str(shipped_file(text)) if text in SHIPPED else text
