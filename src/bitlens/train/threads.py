# SPDX-License-Identifier: Apache-2.0
"""How many cores torch takes."""

from __future__ import annotations

import torch

from bitlens.train.recipe import TrainError

__all__ = ["set_threads"]

_MOST = 1024


def set_threads(threads: int | None) -> None:
    """Set torch's threads; None leaves them as they are.

    Raises:
        TrainError: there cannot be so many.
    """
    if threads is None:
        return
    if not 1 <= threads <= _MOST:
        raise TrainError(f"threads: must be 1 to {_MOST}, not {threads}")
    torch.set_num_threads(threads)
