# SPDX-License-Identifier: Apache-2.0
"""Bipolar weights {-s, +s} with a scale per output channel.

Source: Rastegari et al., XNOR-Net, arXiv 1603.05279.
"""

from __future__ import annotations

from torch import Tensor

from bitlens.core.grid import Grid
from bitlens.quant.base import QuantError, Quantizer, per_channel, refuse_empty, signs, straight_through

__all__ = ["BipolarWeight", "bipolar_weight"]

_TINY = 1e-12


class BipolarWeight(Quantizer):
    """One-bit weights, each output channel on its own scale.

    Forward:  integer = sign(w); scale_o = mean|w_o| over the weights of output channel o.
    Gradient: d(integer * scale)/dw = 1/m + scale_o * [|w| <= 1], m = weights of a channel (the scale's own part, kept
              as the diagonal).
    Grid: bipolar, {-1, 1}. Value at zero: +1. Ties: none. A channel of zeros: +1, scale 1e-12.
    Source: arXiv 1603.05279 eq. 6 and section 3.1, backward. DoReFa-Net keeps one scale a layer, since a scale per
    channel stands on the summed index of the backward product.

    Args:
        bits: 1.

    Raises:
        QuantError: bits is not 1.
    """

    def __init__(self, bits: int = 1) -> None:
        if bits != 1 or isinstance(bits, bool) or not isinstance(bits, int):
            raise QuantError(f"BipolarWeight: bits must be 1, not {bits!r}")
        super().__init__(bits)

    @property
    def grid(self) -> Grid:
        """Bipolar."""
        return Grid.bipolar()

    def codes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Quantize a layer's weights (O, ...); see the class."""
        refuse_empty("BipolarWeight", x)
        w = x.detach()
        rows = w.abs().reshape(w.shape[0], -1)  # (O, m)
        scale = rows.mean(1).clamp(min=_TINY)  # (O,)
        gain = 1 / (rows.shape[1] * per_channel(scale, x.dim())) + (w.abs() <= 1).to(w.dtype)
        return straight_through(x, signs(w), gain), scale


def bipolar_weight(w: Tensor) -> Tensor:
    """Return fake-quantized weights, integers * scale; see `BipolarWeight`."""
    out: Tensor = BipolarWeight()(w)
    return out
