# SPDX-License-Identifier: Apache-2.0
"""Cells of one processing element (`rtl/pe.sv`), counted as its tree is built (`rtl/digit_sum.sv`, `rtl/accumulate.sv`)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import ceil

from bitlens.fpga.cost import Cost

__all__ = ["chain_luts", "digit_tree_cost", "pe_cost"]

_MOST_PLANES = 8  # bits of number and weight together; above them are multipliers


@cache
def pe_cost(simd: int, in_bits: int, weight_bits: int, acc_bits: int, latency: int, family: str) -> Cost:
    """Cells of a processing element.

    Args:
        simd: products a cycle.
        in_bits, weight_bits, acc_bits: of a number, a stored weight, a total.
        latency: cycles; that of a body without primitives is 2.
        family: of devices.
    """
    if family not in ("xc7", "ecp5", "gowin"):
        adders = simd * (in_bits * weight_bits + in_bits + weight_bits)
        return Cost(adders + acc_bits, acc_bits * latency)
    xc7 = family == "xc7"
    bits = in_bits + weight_bits
    table = bits <= {"xc7": 5, "gowin": 4, "ecp5": 2}[family]
    multiply = bits > _MOST_PLANES
    planes = not table and not multiply
    radix, left = (3, 2) if xc7 else (2, 1)
    digits = weight_bits if planes else 1
    leaf = 2 if planes else 1 if multiply or bits > 2 else 3 if xc7 else 2
    most = (1 << bits) - 1 if multiply else ((1 << in_bits) - 1) * ((1 << (1 if planes else weight_bits)) - 1)
    chain: Callable[[int], int] = chain_luts if family == "ecp5" else int  # lookup tables of an adder of so many bits
    sums = _Tree(simd, leaf, most, radix, left if digits == 1 else 1, chain)
    outs, sum_bits = sums.outs, most.bit_length() if simd == 1 else (simd * most).bit_length()
    lut, ff = sums.adder_luts, sums.register_bits
    leaf_bits = [(min(leaf, simd - first) * most).bit_length() for first in range(0, simd, leaf)]
    if planes:
        lut += simd // 2 * chain(in_bits + (0 if xc7 else 1)) + (simd % 2) * in_bits
    elif table:
        lut += sum(ceil(b / 2) if xc7 and leaf * bits <= 5 else b for b in leaf_bits)
    else:
        lut += simd  # the sign of a product, turned
    lut, ff = lut * digits, ff * digits
    parts, part_bits = digits * outs, sum_bits + (weight_bits if planes else 0) + 1
    while parts > left:
        full, rest = divmod(parts, radix)
        lut += (full + (1 if rest > 1 else 0)) * chain(part_bits)
        parts = full + (1 if rest else 0)
        ff += parts * part_bits
    return Cost(lut + chain(acc_bits), ff + acc_bits, 0, simd if multiply else 0)


def digit_tree_cost(products: int, family: str) -> Cost:
    """Cells of a sum of products of 2-bit digits, down to one number (`unit/rtl/unit_pe.sv`).

    Args:
        products: a cycle.
        family: of devices.
    """
    chain: Callable[[int], int] = chain_luts if family == "ecp5" else int
    tree = _Tree(products, 1, 9, 3 if family == "xc7" else 2, 1, chain)  # a product with its excess is at most 9
    return Cost((2 if family == "xc7" else 4) * products + tree.adder_luts, tree.register_bits)


def chain_luts(bits: int) -> int:
    """Lookup tables of a carry chain on ECP5, where a cell holds two positions."""
    return 2 * ceil(bits / 2)


class _Tree:
    """Adders of `radix` numbers in levels, registered, until `left` numbers are left.

    Attributes:
        outs: numbers left.
        adder_luts: of all carry chains.
        register_bits: registers of all levels, the leaves' included.
    """

    def __init__(self, simd: int, leaf: int, most: int, radix: int, left: int, chain: Callable[[int], int]) -> None:
        counts = [min(leaf, simd - first) for first in range(0, simd, leaf)]
        self.adder_luts, self.register_bits = 0, sum((count * most).bit_length() for count in counts)
        while len(counts) > left:
            above = []
            for first in range(0, len(counts), radix):
                several = counts[first : first + radix]
                above.append(sum(several))
                result = (sum(several) * most).bit_length()
                if len(several) > 1:
                    below = (several[0] * most).bit_length()
                    self.adder_luts += chain(min(below + 1, result) if radix == 3 else result)
                self.register_bits += result
            counts = above
        self.outs = len(counts)
