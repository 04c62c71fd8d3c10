# SPDX-License-Identifier: Apache-2.0
"""What activations with a learned scale share: the scale is a function of a parameter until `fix`, then a constant."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bitlens.quant.base import InputQuantizer, QuantError, is_exporting
from bitlens.quant.power_of_two import power_of_two

__all__ = ["LearnedScale"]


class LearnedScale(InputQuantizer):
    """An input quantizer whose scale follows a parameter.

    A subclass gives `learned`.

    Args:
        bits: bits of one code.
        shift: move the scale to a power of two, `power_of_two`.
    """

    fixed: Tensor

    def __init__(self, bits: int, shift: bool) -> None:
        super().__init__(bits)
        self.shift = shift
        self.register_buffer("fixed", torch.full((), torch.nan), persistent=False)

    def learned(self) -> Tensor:
        """The scale before it is moved, positive, float32, 0-d."""
        raise NotImplementedError

    @property
    def scale(self) -> Tensor:  # type: ignore[override]
        """The real value of one unit, 0-d; inside `exporting()` the constant that `fix` stored."""
        return self.fixed if is_exporting() else self._moved(self.learned())

    @property
    def is_fixed(self) -> bool:
        """Whether the scale has not moved since it was fixed."""
        return bool(self.fixed == self._moved(self.learned()))

    @torch.no_grad()
    def fix(self) -> None:
        """Store the scale as the constant of an exported graph.

        Raises:
            QuantError: it is not finite.
        """
        scale = self._moved(self.learned()).clone()
        if not scale.isfinite():
            raise QuantError(f"{type(self).__name__}: scale must be finite to be fixed, not {float(scale)}")
        self.fixed = scale

    def _moved(self, scale: Tensor) -> Tensor:
        return power_of_two(scale) if self.shift else scale

    def _load_from_state_dict(self, *arguments: Any) -> None:
        super()._load_from_state_dict(*arguments)
        with torch.no_grad():
            self.fixed = self._moved(self.learned()).clone()
