# SPDX-License-Identifier: Apache-2.0
"""Programs as commands are told them: a file, or the name of one that comes with bitlens."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

__all__ = ["MODEL_HELP", "program_path"]

MODEL_HELP = "a file, or face_detector, face_clearness or face_pose, which come with bitlens"


def program_path(text: str) -> str:
    """Return the path of a program; a file of the name goes before a shipped program."""
    shipped = files("bitlens.vision") / "models" / f"{text}.bitlens"
    return str(shipped) if text.isidentifier() and not Path(text).exists() and shipped.is_file() else text
