# SPDX-License-Identifier: Apache-2.0
"""How a matrix-vector unit multiplies: the form of its weights and of its sums, the depth of its elements, and their model.

The equations and their letters are those of `rtl/pe.sv`: M = 2^in_bits - 1, N = 2^weight_bits - 1, codes d and numbers u.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.fpga.hardwired import Hardwired, hardwire

__all__ = ["Products", "pe_latency"]

IntArray = npt.NDArray[np.int64]

_MOST_ODD = 8  # bits of number and weight together; above them are multipliers, which take two's complement


@dataclass(frozen=True)
class Products:
    """The products of a layer: sum over i of product(weight[o][i], number[i]).

    Args:
        weights: (outputs, inputs) integers.
        in_bits: of an input.
        in_signed: two's complement; then 2^(in_bits-1) is added to an input to make it a number.
    """

    weights: IntArray
    in_bits: int
    in_signed: bool
    _adders: dict[int, Hardwired] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def odd(self) -> bool:
        """Whether all weights are odd, and stored as d = (N - weight) / 2."""
        return bool(np.all(self.weights % 2)) and self.in_bits + self._odd_bits <= _MOST_ODD

    @cached_property
    def _odd_bits(self) -> int:
        return int(np.abs(self.weights).max()).bit_length()

    @cached_property
    def weight_bits(self) -> int:
        """Of a stored weight."""
        if self.odd:
            return self._odd_bits
        lo, hi = int(self.weights.min()), int(self.weights.max())
        return max(hi.bit_length(), (-lo - 1).bit_length() if lo < 0 else 0) + 1

    @cached_property
    def stored(self) -> IntArray:
        """(outputs, inputs): codes d, or the weights themselves for two's complement."""
        return np.asarray(((1 << self.weight_bits) - 1 - self.weights) // 2 if self.odd else self.weights)

    @cached_property
    def excess(self) -> IntArray:
        """(outputs,): sum of the products, less sum of weight * input; known from the weights alone."""
        most, half = (1 << self.in_bits) - 1, 1 << (self.in_bits - 1)
        shifted = half * self.weights.sum(axis=1) if self.in_signed else np.zeros(len(self.weights), np.int64)
        return np.asarray(shifted + most * self.stored.sum(axis=1) if self.odd else shifted)

    def hardwired(self, target: str) -> Hardwired:
        """Adders made for the weights, for a family of devices."""
        radix = 3 if target == "xc7" else 2
        if radix not in self._adders:
            self._adders[radix] = hardwire(self.weights, self.in_bits, self.in_signed, radix)
        return self._adders[radix]

    def sums(self, inputs: npt.NDArray[Any]) -> IntArray:
        """The model: (..., inputs) -> (..., outputs), sums of the products."""
        sums: IntArray = np.asarray(inputs, np.int64) @ self.weights.T + self.excess
        return sums

    def range(self, lo: int, hi: int) -> tuple[int, int]:
        """Bounds of the sums of the products for inputs of lo to hi."""
        least = np.minimum(self.weights * lo, self.weights * hi).sum(axis=1) + self.excess
        most = np.maximum(self.weights * lo, self.weights * hi).sum(axis=1) + self.excess
        return int(least.min()), int(most.max())


def pe_latency(simd: int, in_bits: int, weight_bits: int, target: str) -> int:
    """Cycles of `rtl/pe.sv` from operands to total.

    Args:
        simd: products a cycle.
        in_bits, weight_bits: of an input and of a stored weight.
        target: family of devices, one of `TARGETS`.
    """
    if target == "generic":
        return 2
    bits, xc7 = in_bits + weight_bits, target == "xc7"
    radix, left = (3, 2) if xc7 else (2, 1)
    table = bits <= {"xc7": 5, "gowin": 4, "ecp5": 2}[target]
    planes = not table and bits <= _MOST_ODD
    leaf = 2 if planes else 1 if bits > 2 else 3 if xc7 else 2
    levels = _levels(-(-simd // leaf), 1 if planes and weight_bits > 1 else left, radix)
    return 1 + levels + _levels(weight_bits if planes else 1, left, radix) + 1


def _levels(count: int, left: int, radix: int) -> int:
    """Levels of adders of `radix` numbers, until so many are left."""
    levels = 0
    while count > left:
        count, levels = -(-count // radix), levels + 1
    return levels
