# SPDX-License-Identifier: Apache-2.0
"""What the processor is called, for figures that depend on it."""

from __future__ import annotations

import platform
from pathlib import Path

__all__ = ["processor_name"]

_CPUINFO = Path("/proc/cpuinfo")


def processor_name() -> str:
    """Return the processor's name, such as "AMD EPYC"; the architecture's, such as "x86_64", where none is told (ARM)."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(filter(None, names), platform.machine())
