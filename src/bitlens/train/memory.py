# SPDX-License-Identifier: Apache-2.0
"""Too little memory, told in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from bitlens.train.recipe import TrainError

__all__ = ["telling_memory"]


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
