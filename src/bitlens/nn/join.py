# SPDX-License-Identifier: Apache-2.0
"""Joins of branches: every branch is quantized by one quantizer first, so that integers of one unit are joined.

A residual block ends in `x = self.add(self.bn2(self.conv2(y)), shortcut)`. Which quantizer:

- `JoinActivation`, a signed grid, where branches carry both signs: sums, and whatever a quantizer follows;
- the activation quantizer of the layer behind, where each branch ends in an activation anyway: that layer then quantizes
  what is on its grid already, which changes nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bitlens.quant.base import Quantizer, is_exporting

__all__ = ["QuantAdd", "QuantConcat"]


class _Join(nn.Module):
    """Quantizes branches alike.

    Args:
        input_quantizer: of every branch; another module (such as ReLU) is applied as it is; None joins real values.
    """

    def __init__(self, *, input_quantizer: nn.Module | None = None) -> None:
        super().__init__()
        self.input_quantizer = input_quantizer

    def _joined(self, branches: list[Tensor]) -> Tensor:
        raise NotImplementedError

    def _check(self, shapes: list[tuple[int, ...]]) -> None:
        """Raise ValueError where branches of these shapes are not joined; torch refuses most itself."""

    def forward(self, *branches: Tensor) -> Tensor:
        """Return the joined branches: real values, whole numbers of the quantizer's scale.

        Args:
            branches: at least two, (N, C, ...), float32.

        Raises:
            ValueError: fewer than two branches, or shapes that cannot be joined.
        """
        if len(branches) < 2:
            raise ValueError(f"{type(self).__name__}: branches must be at least 2, not {len(branches)}")
        self._check([tuple(branch.shape) for branch in branches])
        quantizer = self.input_quantizer
        if isinstance(quantizer, Quantizer) and not is_exporting():
            codes = [quantizer.codes(branch) for branch in branches]
            return self._joined([integers for integers, _ in codes]) * codes[0][1]
        return self._joined([branch if quantizer is None else quantizer(branch) for branch in branches])


class QuantAdd(_Join):
    """Sum of branches of equal shape; arguments as of every join."""

    def _joined(self, branches: list[Tensor]) -> Tensor:
        total = branches[0]
        for branch in branches[1:]:
            total = total + branch
        return total

    def _check(self, shapes: list[tuple[int, ...]]) -> None:
        for shape in shapes[1:]:
            if shape != shapes[0]:  # torch would repeat the smaller one
                raise ValueError(f"QuantAdd: branches must have one shape, not {shapes[0]} and {shape}")


class QuantConcat(_Join):
    """Branches one after the other along the channels; arguments as of every join."""

    def _joined(self, branches: list[Tensor]) -> Tensor:
        return torch.cat(branches, dim=1)
