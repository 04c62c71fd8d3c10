# SPDX-License-Identifier: Apache-2.0
"""Ternary weights {-s, 0, +s}.

Source: Li, Zhang, Liu, Ternary Weight Networks, arXiv 1605.04711.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bitlens.core.grid import Grid
from bitlens.quant.base import QuantError, Quantizer, refuse_empty, straight_through

__all__ = ["TernaryWeight", "ternary_weight"]

_TINY = 1e-12


class TernaryWeight(Quantizer):
    """Weights of three levels, the small ones exactly zero.

    Forward:  t = 0.7 mean|w|; integer = sign(w) where |w| > t, else 0; scale = mean of |w| over the weights with |w| > t.
    Gradient: d(integer * scale)/dw = 1; threshold and scale are constants.
    Grid: ternary, {-1, 0, 1}, 2 bits. Value at zero: 0. Ties: |w| = t gives 0. All weights zero: all 0, scale 1e-12.
    Source: arXiv 1605.04711 eq. 3 to 6 (0.7 is its approximation of the best threshold for uniform and normal weights).

    Args:
        bits: 2, the bits of a code.

    Raises:
        QuantError: bits is not 2.
    """

    def __init__(self, bits: int = 2) -> None:
        if bits != 2 or not isinstance(bits, int):
            raise QuantError(f"TernaryWeight: bits must be 2, not {bits!r}")
        super().__init__(bits)

    @property
    def grid(self) -> Grid:
        """Ternary."""
        return Grid.ternary()

    def codes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Quantize a layer's weights; see the class."""
        refuse_empty("TernaryWeight", x)
        w = x.detach()
        magnitude = w.abs()
        large = magnitude > 0.7 * magnitude.mean()
        scale = ((magnitude * large).sum() / large.sum().clamp(min=1)).clamp(min=_TINY)
        integers = torch.sign(w) * large
        return straight_through(x, torch.where(w.isnan(), w, integers), 1 / scale), scale


def ternary_weight(w: Tensor) -> Tensor:
    """Return fake-quantized weights, integers * scale; see `TernaryWeight`."""
    out: Tensor = TernaryWeight()(w)
    return out
