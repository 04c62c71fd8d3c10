# SPDX-License-Identifier: Apache-2.0
"""Matrix products of training steps in bfloat16, for CPUs that multiply it faster (AMX, AVX-512 BF16).

Operands are rounded to 8 significant bits and summed in float32. Integers up to 256 stay what they are, so products of
codes with codes are exact; gradients and float operands are rounded. A CPU without such instructions multiplies float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

__all__ = ["products"]


@contextmanager
def products(bf16: bool) -> Iterator[None]:
    """Multiply matrices (not convolutions) so inside the block; outside as before.

    Args:
        bf16: False changes nothing.
    """
    mkldnn: Any = torch.backends.mkldnn  # torch types it without its parts
    matmul = mkldnn.matmul
    before = matmul.fp32_precision
    if bf16:
        matmul.fp32_precision = "bf16"
    try:
        yield
    finally:
        matmul.fp32_precision = before
