# SPDX-License-Identifier: Apache-2.0
"""Uniform weights without a zero level: scaled by the mean magnitude (balanced, 2016) or by the largest one (unbalanced).

Source: He et al., Effective Quantization Methods for Recurrent Neural Networks, arXiv 1611.10176; uniform quantization
as Balanced Quantization, arXiv 1706.07145, compares with.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bitlens.core.grid import Grid
from bitlens.quant.base import Quantizer, checked_bits, refuse_empty, straight_through

__all__ = [
    "MaxScaledWeight",
    "MeanScaledWeight",
    "UniformMaxWeight",
    "max_scaled_weight",
    "mean_scaled_weight",
    "uniform_max_weight",
]

_TINY = 1e-12


class _Uniform(Quantizer):
    """Evenly spaced odd levels over [-reach, reach]."""

    def __init__(self, bits: int) -> None:
        super().__init__(checked_bits(type(self).__name__, bits, 1, 8))

    @property
    def grid(self) -> Grid:
        """Odd k."""
        return Grid.odd(self.bits)

    def _spread(self, w: Tensor, reach: Tensor) -> tuple[Tensor, Tensor]:
        """Quantize w with the gradient of the identity, clipping included."""
        n = self.grid.hi
        with torch.no_grad():
            reach = reach.clamp(min=_TINY)
            index = torch.floor((w / (2 * reach) + 0.5).clamp(0, 1).mul_(n).add_(0.5))  # 0..n
            integers = index.mul_(2).sub_(n)
        return straight_through(w, integers, n / reach), reach / n


class MeanScaledWeight(_Uniform):
    """Weights of k bits on a scale that follows their mean magnitude, so that the levels fill evenly.

    Forward:  t = tanh(w); s = 2.5 mean|t|; integer = 2 floor(n clip(t/s + 1/2, 0, 1) + 1/2) - n with n = 2^k - 1;
              scale = s/(2n): levels over [-s/2, s/2]. k = 1: +-1.25 mean|t|.
    Gradient: d(integer * scale)/dw = 1 - tanh(w)^2, through rounding and clipping; s is a constant.
    Grid: odd k, {-n, ..., n}. Value at zero: +1 (a tie). Ties: half up. All weights zero: +1, scale 1e-12/n.
    An infinite weight, t = +-1, is an end of the grid where mean|t| is at most 0.8.
    Source: arXiv 1611.10176, the authors' code (there 2.0 became 2.5 for the paper).

    Args:
        bits: 1 to 8.

    Raises:
        QuantError: bits is not 1 to 8.
    """

    def codes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Quantize a layer's weights; see the class."""
        refuse_empty("MeanScaledWeight", x)
        t = torch.tanh(x)
        return self._spread(t, 1.25 * t.detach().abs().mean())


def mean_scaled_weight(w: Tensor, bits: int) -> Tensor:
    """Return fake-quantized weights, integers * scale; see `MeanScaledWeight`."""
    out: Tensor = MeanScaledWeight(bits)(w)
    return out


class MaxScaledWeight(_Uniform):
    """Weights of k bits behind tanh, on a scale that follows their largest magnitude: "unbalanced" of recurrent nets.

    `MeanScaledWeight` but for the scale. tanh bounds the scale by 1/n, where that of `UniformMaxWeight` follows a weight that
    runs away in training; the codes of the others are spent on it by both.

    Forward:  t = tanh(w); s = max|t|; integer = 2 floor(n (t/(2s) + 1/2) + 1/2) - n with n = 2^k - 1; scale = s/n.
    Gradient: d(integer * scale)/dw = 1 - tanh(w)^2, through rounding; s is a constant. 0 where float32's tanh is 1, from
              about abs w = 9 on.
    Grid: odd k, {-n, ..., n}. Value at zero: +1 (a tie). Ties: half up. All weights zero: +1, scale 1e-12/n.
    An infinite weight, t = +-1, is an end of the grid.
    Source: arXiv 1611.10176, what its balanced weights are compared with; tanh as in the authors' code of those.

    Args:
        bits: 1 to 8.

    Raises:
        QuantError: bits is not 1 to 8.
    """

    def codes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Quantize a layer's weights; see the class."""
        refuse_empty("MaxScaledWeight", x)
        t = torch.tanh(x)
        return self._spread(t, t.detach().abs().max())


def max_scaled_weight(w: Tensor, bits: int) -> Tensor:
    """Return fake-quantized weights, integers * scale; see `MaxScaledWeight`."""
    out: Tensor = MaxScaledWeight(bits)(w)
    return out


class UniformMaxWeight(_Uniform):
    """Weights of k bits on a scale that follows their largest magnitude: the usual uniform quantizer.

    Forward:  s = max|w|; integer = 2 floor(n (w/(2s) + 1/2) + 1/2) - n with n = 2^k - 1; scale = s/n.
    Gradient: d(integer * scale)/dw = 1; s is a constant.
    Grid: odd k, {-n, ..., n}. Value at zero: +1 (a tie). Ties: half up. All weights zero: +1, scale 1e-12/n.
    Source: arXiv 1706.07145, the baseline. One outlier takes levels from all other weights.

    Args:
        bits: 1 to 8.

    Raises:
        QuantError: bits is not 1 to 8.
    """

    def codes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Quantize a layer's weights; see the class."""
        refuse_empty("UniformMaxWeight", x)
        return self._spread(x, x.detach().abs().max())


def uniform_max_weight(w: Tensor, bits: int) -> Tensor:
    """Return fake-quantized weights, integers * scale; see `UniformMaxWeight`."""
    out: Tensor = UniformMaxWeight(bits)(w)
    return out
