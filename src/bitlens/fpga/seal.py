# SPDX-License-Identifier: Apache-2.0
"""JSON files that are read back as they were written or not at all: numbers changed by hand would not be the circuit's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bitlens.core.files import write_atomically
from bitlens.fpga.network import FpgaError

__all__ = ["damaged", "read_sealed", "write_sealed"]


def write_sealed(path: Path, description: Mapping[str, Any]) -> None:
    """Write a description and its digest."""
    text = json.dumps({**description, "sha256": _digest(description)}, indent=1)
    write_atomically(path, text.encode())


def read_sealed(path: Path) -> dict[str, Any]:
    """The description.

    Raises:
        FpgaError: the file is not as it was written.
        OSError: it cannot be read.
    """
    try:
        told = json.loads(path.read_bytes())
        if told.pop("sha256") == _digest(told):
            return dict(told)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        pass
    raise damaged(path)


def damaged(path: Path) -> FpgaError:
    """The error of a file that is not as it was written."""
    return FpgaError(f"{path}: must be as bitlens fpga wrote it, not damaged; make the project again")


def _digest(description: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()
