# SPDX-License-Identifier: Apache-2.0
"""Softmax, its cross entropy and its gradient on integers: two tables and one division a score.

2^x of a negative x with 8 bits behind the point is a table of 256 powers, shifted right by the whole part.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bitlens.train.float_free.arithmetic import quotient, shifted

__all__ = ["LOSS", "SCORE", "Softmax"]

SCORE = 8  # bits of a score behind the point
_ONE = 15  # bits of a probability behind the point
_LOG2E = 369  # of 256: 1.4414
_DEEPEST = 15
LOSS = 16  # bits of a loss behind the point


class Softmax:
    """Its tables, on a device."""

    def __init__(self, device: torch.device) -> None:
        def table(values: list[int]) -> Tensor:
            return torch.tensor(values, dtype=torch.float64, device=device)

        one, steps = 1 << _ONE, 1 << SCORE
        self.powers = table([round(2 ** (i / steps) * one) for i in range(steps)])
        self.shifts = table([1 << i for i in range(_DEEPEST + 1)])
        self.losses = table([round(-math.log(max(p, 0.5) / one) * (1 << LOSS)) for p in range(one + 1)])

    def __call__(self, scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return (cross entropy (N,) in nats, gradient (N, classes): probability - target, of 2^15).

        Args:
            scores: integers (N, classes), `SCORE` bits behind the point.
            targets: classes (N,), int64.
        """
        logs = shifted(scores * float(_LOG2E), SCORE)
        depths = (logs - logs.amax(1, keepdim=True)).clamp(min=-float(_DEEPEST << SCORE))
        whole = quotient(depths, float(1 << SCORE))  # -15..0
        part = depths - whole * float(1 << SCORE)  # 0..255
        powers = quotient(self.powers[part.long()], self.shifts[(-whole).long()])
        shares = quotient(powers * float(1 << _ONE), powers.sum(1, keepdim=True))  # (N, classes), 0..2^15
        wanted = torch.zeros_like(shares).scatter_(1, targets[:, None], float(1 << _ONE))
        losses = self.losses[shares.gather(1, targets[:, None])[:, 0].long()]
        return losses * 2.0**-LOSS, shares - wanted
