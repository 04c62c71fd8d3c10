# SPDX-License-Identifier: Apache-2.0
"""Balanced Quantization of weights: every level is used about equally often.

The weights are split into 2^k groups of (about) equal size; a weight's code is the index of its group, so nothing is
rounded. The levels stay evenly spaced: inference costs what uniform quantization costs.

Source: Zhou et al., Balanced Quantization, arXiv 1706.07145, algorithms 1 and 2.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bitlens.core.grid import Grid
from bitlens.quant.base import QuantError, Quantizer, checked_bits, refuse_empty, straight_through

__all__ = ["BalancedWeight", "balanced_groups", "balanced_weight"]

_TINY = 1e-12
_CHOICES = {"split": ("mean", "median"), "reach": ("mean", "max"), "slope": ("identity", "leaf")}


def balanced_groups(w: Tensor, bits: int, split: str = "mean") -> Tensor:
    """Return the group of every weight, int64 0..2^bits - 1, shape of w.

    Args:
        w: weights, any shape, at least one; none is NaN.
        bits: k.
        split: "mean" halves every group at its mean, k times (algorithm 2, no sort); "median" cuts at the exact
            percentiles, so groups differ by one weight at most unless weights are equal.

    Ties: a weight equal to a threshold goes to the upper group; equal weights share a group.
    """
    flat = w.detach().reshape(-1)  # (count,)
    if split == "median":
        ordered = flat.sort().values
        firsts = torch.arange(1, 1 << bits, device=w.device) * flat.numel()
        firsts = torch.div(firsts + (1 << bits) - 1, 1 << bits, rounding_mode="floor").clamp(max=flat.numel() - 1)
        return torch.bucketize(flat, ordered[firsts], right=True).view_as(w)
    exact = flat.double()
    group = torch.zeros_like(flat, dtype=torch.int64)
    for level in range(bits):
        sums = torch.zeros(1 << level, dtype=torch.float64, device=w.device).index_add_(0, group, exact)
        counts = torch.zeros_like(sums).index_add_(0, group, torch.ones_like(exact)).clamp(min=1)
        group = 2 * group + (exact >= (sums / counts)[group])
    return group.view_as(w)


class BalancedWeight(Quantizer):
    """Weights of k bits in balanced groups g = `balanced_groups`.

    Forward:  s = 2.5 mean|w| (reach "mean"; w is first clipped to [-s, s]) or max|w| (reach "max");
              integer = 2 g - n with n = 2^k - 1; scale = s/n.
    Gradient: slope "identity": d(integer * scale)/dw = 1, clipping included. slope "leaf": 2 s / (n (max_g - min_g)),
              the slope of the map that spreads group g over its bin; 0 where a group holds one value. s, thresholds
              and ends of groups are constants.
    Grid: odd k, {-n, ..., n}. Value at zero: the code of the group that holds 0 (symmetric weights: -1 or +1).
    Ties: a weight equal to a threshold goes up. Equal weights: all in the uppermost group, whatever their sign; all
    zero: scale 1e-12/n. With median and max, quantizing 2^k different weights twice changes nothing.
    Source: Balanced Quantization algorithms 1 and 2; its rounding of a group's smallest member one level down is
    left out. Reach "mean" is the authors' remedy for divergence at 1 and 2 bits.

    Args:
        bits: 1 to 8.
        split: "mean" or "median".
        reach: "mean" or "max".
        slope: "identity" or "leaf".

    Raises:
        QuantError: an argument is none of these.
    """

    def __init__(self, bits: int, split: str = "mean", reach: str = "mean", slope: str = "identity") -> None:
        super().__init__(checked_bits("BalancedWeight", bits, 1, 8))
        for key, value in (("split", split), ("reach", reach), ("slope", slope)):
            if value not in _CHOICES[key]:
                raise QuantError(f"BalancedWeight: {key} must be one of {', '.join(_CHOICES[key])}, not {value}")
        self.split, self.reach, self.slope = split, reach, slope

    @property
    def grid(self) -> Grid:
        """Odd k."""
        return Grid.odd(self.bits)

    def codes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Quantize a layer's weights; see the class."""
        refuse_empty("BalancedWeight", x)
        w = x.detach()
        magnitude = w.abs()
        reach = (2.5 * magnitude.mean() if self.reach == "mean" else magnitude.max()).clamp(min=_TINY)
        w = w.clamp(-reach, reach)
        group = balanced_groups(w, self.bits, self.split)
        n = self.grid.hi
        gain = n / reach if self.slope == "identity" else _leaf_gain(w, group, self.bits)
        integers = torch.where(w.isnan(), w, (2 * group - n).to(x.dtype))
        return straight_through(x, integers, gain), reach / n

    def extra_repr(self) -> str:
        """Name the grid and the choices."""
        return f"{self.grid}, split={self.split}, reach={self.reach}, slope={self.slope}"


def balanced_weight(w: Tensor, bits: int, split: str = "mean", reach: str = "mean", slope: str = "identity") -> Tensor:
    """Return fake-quantized weights, integers * scale; see `BalancedWeight`."""
    out: Tensor = BalancedWeight(bits, split, reach, slope)(w)
    return out


def _leaf_gain(w: Tensor, group: Tensor, bits: int) -> Tensor:
    """Gain 2/(max_g - min_g) of every weight, shape of w."""
    flat, index = w.reshape(-1), group.reshape(-1)
    ends = torch.zeros(1 << bits, dtype=w.dtype, device=w.device)
    high = ends.scatter_reduce(0, index, flat, "amax", include_self=False)
    low = ends.scatter_reduce(0, index, flat, "amin", include_self=False)
    width = (high - low)[group]
    return torch.where(width > 0, 2 / width.clamp(min=_TINY), torch.zeros_like(width))
