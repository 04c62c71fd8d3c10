# SPDX-License-Identifier: Apache-2.0
"""What a unit takes of a device, before synthesis: one formula for each module of `rtl/`, from the unit's size.

As `bitlens.fpga.estimate`: memories are what Yosys makes of them, an adder of n bits takes n lookup tables, constants stand for
control and were read off netlists of Yosys 0.70 for xc7 and ECP5 (tests/fpga/unit/test_unit_estimate.py).
"""

from __future__ import annotations

from bitlens.fpga.cost import Cost, total_cost
from bitlens.fpga.devices import Device
from bitlens.fpga.estimate import module_cost
from bitlens.fpga.estimate_pe import chain_luts, digit_tree_cost
from bitlens.fpga.ram import Use, map_ram
from bitlens.fpga.unit.size import LEVELS, QUEUE, UnitSize

__all__ = ["unit_cost"]

_PRODUCT_LUT = 100  # of the products of addresses, where there is no multiplier
_ROWS = Use(written=True, style="block")
_TABLE = Use(written=True)
_POOLED = Use(written=True, read_register=False, style="distributed", same_address=True)  # its address is no register


def unit_cost(size: UnitSize, device: Device) -> Cost:
    """Everything in a unit, in cells of a device."""
    family = device.family
    parts = [_control(size, family), _ring(size, family), _array(size, family), _collect(size, family)]
    parts += [_search(size, family)] * size.lanes
    parts.append(module_cost("fifo", {"WIDTH": 2 * size.simd, "DEPTH": QUEUE}, family))
    cost = total_cost(parts)
    return cost if device.dsp else Cost(cost.lut + _PRODUCT_LUT * cost.dsp, cost.ff, cost.bram)


def _bits(words: int) -> int:
    return max(1, (words - 1).bit_length())


def _control(size: UnitSize, family: str) -> Cost:
    """`unit_sequence.sv`, `unit_load.sv`, `unit_loops.sv` and what `unit_results.sv` adds to its parts."""
    group, ring, deep = _bits(size.groups), _bits(size.ring), _bits(size.weights)
    if family == "ecp5":  # no shift registers
        lut = 475 + 130 + 5 * group + 1290 + 33 + 5 * group
        return Cost(lut, 870 + 2 * size.simd + 70 + 3 * group + 560 + 5 * (ring + deep) + 25 + 18 * group, 0, 5)
    products = 3 * (ring >= 9) + (deep >= 9)  # narrower ones are logic
    lut = 300 + 70 + 5 * group + 965 + 25 * (4 - products) + 28 + 4 * group
    ff = 870 + 2 * size.simd + 60 + 4 * group + 335 + 17 * (4 - products) + 30
    return Cost(lut, ff, 0, products + 1)


def _ring(size: UnitSize, family: str) -> Cost:
    """`unit_rows.sv`."""
    word, bits, ram = 2 * size.simd, _bits(size.ring), map_ram(size.ring, 2 * size.simd, _ROWS, family)
    if family == "ecp5":
        return Cost(round(470 + 8.5 * bits + word * (1 + (ram.deep - 1))), 160 + 3 * word, ram.blocks, 2)
    return Cost(400 + 6 * bits, 160 + word, ram.blocks, 2)


def _array(size: UnitSize, family: str) -> Cost:
    """`unit_array.sv`: sums of every output channel and one of the numbers, weights beside them."""
    word, acc, deep = 2 * size.simd, size.acc_bits, _bits(size.weights)
    ram = map_ram(size.weights, word, _ROWS, family)
    one = digit_tree_cost(size.simd, family) + Cost(acc, acc)
    parts = 1 if acc <= (25 if family == "xc7" else 18) else 2  # of the product of the sum of numbers and `gain`
    lut, ff = size.pe * acc + word + 20, word + size.pe * (acc + word) + acc + 20
    ends = Cost(lut + 28 * (parts - 1), ff + 45 * (parts - 1), size.pe * ram.blocks, parts)
    if family == "ecp5":  # the accumulator's and the ends' choices stand beside carry chains, words around the memories
        one += Cost(chain_luts(acc))
        ends += Cost((size.lanes + 1) * acc + size.pe * (word + 2 * deep), 2 * size.pe * word)
    return Cost((size.pe + 1) * one.lut, (size.pe + 1) * one.ff) + ends


def _search(size: UnitSize, family: str) -> Cost:
    """`unit_search.sv`: one lane's levels of breakpoints."""
    acc, group = size.acc_bits, _bits(size.groups)
    cost = Cost(round(80 + 7.5 * acc), 2 * LEVELS * (acc + group) + 80)
    if family == "ecp5":
        cost = Cost((LEVELS + 1) * chain_luts(acc) + 38, cost.ff + acc)
    for level in range(LEVELS):
        width = acc + (level == 0)
        ram = map_ram(size.groups << level, width, _TABLE, family)
        lut = ram.lut + (round(1.2 * width * (ram.deep - 1)) if family == "ecp5" else 0)
        if ram.kind != "block":  # its words need registers
            cost += Cost(lut, acc)
        elif family == "ecp5":  # a word that is written while it is read goes around
            cost += Cost(lut + acc + 2 * (group + level), acc, ram.blocks)
        else:
            cost += Cost(lut, 0, ram.blocks)
    return cost


def _collect(size: UnitSize, family: str) -> Cost:
    """`unit_collect.sv`."""
    acc, word, group = size.acc_bits, size.simd * size.acc_bits, _bits(size.groups)
    kept = map_ram(size.groups, size.lanes * LEVELS, _POOLED, family)
    if family == "ecp5":  # a digit's choice of five takes two tables
        lut = 2 * word + kept.lut + round(1.1 * LEVELS * size.lanes * (kept.deep - 1)) + 95 + 31 * size.lanes
        return Cost(lut, 2 * word + size.lanes * acc + 25)
    return Cost(word + kept.lut + 60 + 17 * size.lanes + 5 * group, 2 * word + size.lanes * acc + 25)
