# SPDX-License-Identifier: Apache-2.0
"""Joins of branches: every branch is quantized onto one shared signed grid first, so that integers can be joined.

A residual block ends in `x = self.add(self.bn2(self.conv2(y)), shortcut)`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bitlens.quant.base import is_exporting
from bitlens.quant.uniform import JoinActivation

__all__ = ["QuantAdd", "QuantConcat"]


class _Join(nn.Module):
    """Quantizes branches with one `JoinActivation`; its arguments are bits and reach."""

    def __init__(self, bits: int = 8, reach: float = 4.0) -> None:
        super().__init__()
        self.input_quantizer = JoinActivation(bits, reach)

    def _joined(self, branches: list[Tensor]) -> Tensor:
        raise NotImplementedError

    def forward(self, *branches: Tensor) -> Tensor:
        """Return the joined branches, real values on the shared scale's grid.

        Args:
            branches: at least two, (N, C, ...), float32.

        Raises:
            ValueError: fewer than two branches.
        """
        if len(branches) < 2:
            raise ValueError(f"{type(self).__name__}: branches must be at least 2, not {len(branches)}")
        if is_exporting():
            return self._joined([self.input_quantizer(branch) for branch in branches])
        integers = [self.input_quantizer.codes(branch)[0] for branch in branches]
        return self._joined(integers) * self.input_quantizer.scale


class QuantAdd(_Join):
    """Sum of branches of equal shape; arguments as of `JoinActivation`."""

    def _joined(self, branches: list[Tensor]) -> Tensor:
        total = branches[0]
        for branch in branches[1:]:
            total = total + branch
        return total


class QuantConcat(_Join):
    """Branches one after the other along the channels; arguments as of `JoinActivation`."""

    def _joined(self, branches: list[Tensor]) -> Tensor:
        return torch.cat(branches, dim=1)
