# SPDX-License-Identifier: Apache-2.0
"""Mean cross entropy over many classes, a few rows at a time.

A batch of a language model has 1,200 rows of 10,000 classes, 48 MB: torch's loss walks all of it several times, forward
and backward, and keeps a second array of that size. Here a block of rows stays in the cache until it is done.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["cross_entropy"]

_BLOCK = 1 << 18  # logits at once: 1 MB of float32


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean over rows of log(sum(exp(logits))) - logits[target], as `torch.nn.functional.cross_entropy`.

    Args:
        logits: (rows, classes), floating; its gradient is a new array.
        targets: (rows,), int64, 0 to classes - 1.

    Returns:
        (), of the logits' type; it has no second derivative on a CPU.
    """
    if logits.is_cuda:
        return F.cross_entropy(logits, targets)
    mean: Tensor = _Mean.apply(logits, targets)  # type: ignore[no-untyped-call]
    return mean


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        total = torch.cat([torch.logsumexp(logits[rows], 1) for rows in _blocks(logits)])  # (rows,)
        ctx.save_for_backward(logits, targets, total)
        return (total - logits.gather(1, targets[:, None])[:, 0]).mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        logits, targets, total = ctx.saved_tensors
        share = grads[0] / len(logits)
        slopes = torch.empty_like(logits)
        for rows in _blocks(logits):
            torch.sub(logits[rows], total[rows, None], out=slopes[rows]).exp_().mul_(share)
        slopes[torch.arange(len(logits)), targets] -= share
        return slopes, None


def _blocks(logits: Tensor) -> Iterator[slice]:
    count = max(1, _BLOCK // logits.shape[1])
    return (slice(first, first + count) for first in range(0, len(logits), count))
