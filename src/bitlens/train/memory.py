# SPDX-License-Identifier: Apache-2.0
"""Memory of training: kept for the next step, and too little of it told in one line."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from bitlens.train.recipe import TrainError

__all__ = ["keep_memory", "telling_memory"]

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # names of glibc's mallopt
_LARGEST = 2**31 - 1


def keep_memory() -> bool:
    """Let this process keep memory that it frees; return whether the C library can (glibc).

    Otherwise every large array of a step is asked of the system, zeroed page by page, and given back. Meant for a process
    that trains and does nothing else.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library
        return False
    asked = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _LARGEST), (_TOP_PAD, 1 << 26))
    done = [mallopt(name, value) for name, value in asked]
    return 0 not in done


@contextmanager
def telling_memory(name: str, batch: int, device: torch.device) -> Iterator[None]:
    """Turn an allocation that fails into one clear sentence.

    Args:
        name: of the recipe.
        batch: samples a step.
        device: where the net is.

    Raises:
        TrainError: memory has run out, of the device or of the host.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _ran_out(error):
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TrainError(
            f"{name}: memory must hold a batch of {batch} on {device}, not run out; "
            f"finished epochs are kept, a new run may take a smaller --batch ({reason})"
        ) from error


def _ran_out(error: Exception) -> bool:
    """Whether an allocator gave up; torch's on the CPU raises a plain RuntimeError."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)
