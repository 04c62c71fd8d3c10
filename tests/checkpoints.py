# SPDX-License-Identifier: Apache-2.0
from typing import Any

import torch


def same(a: Any, b: Any) -> bool:
    """Bit equality of nested checkpoints; seconds are measured, so they are left out."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a if key != "seconds")
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    return bool((a == b).all()) if hasattr(a, "all") else bool(a == b)
