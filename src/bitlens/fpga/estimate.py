# SPDX-License-Identifier: Apache-2.0
"""What a circuit takes of a device, before synthesis: one formula for each module of `rtl/`, from its parameters.

The formulas count what the modules say: an adder of n bits takes n lookup tables, a table of 4 inputs and 4 outputs two, a
memory what `ram.py` finds. Constants stand for control logic; they were read off netlists of Yosys 0.70 for xc7
and ECP5 (`tests/fpga/test_estimate.py`). Of Gowin and iCE40 only block RAMs were compared with netlists: their logic counts as
on xc7.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import ceil

from bitlens.fpga.cost import Cost, total_cost
from bitlens.fpga.devices import Device
from bitlens.fpga.estimate_pe import chain_luts, pe_cost
from bitlens.fpga.hardwired import Hardwired
from bitlens.fpga.network import Element, Network
from bitlens.fpga.ram import Ram, Use, map_ram

__all__ = ["element_cost", "layer_costs", "module_cost", "network_cost", "sums_cost"]

_RING = Use(written=True)
_QUEUE = Use(written=True, read_register=False)
_BLOCK_ROM = Use(written=False, style="block")
_ROM = Use(written=False)
_PRODUCT_LUT = 450  # of a multiplier of 25x18 bits: about one for each pair of bits
_SHALLOW = 12  # words of a ROM, up to which columns may be constant by chance


def network_cost(network: Network, device: Device) -> Cost:
    """Everything in a circuit."""
    return total_cost(element_cost(element, device) for element in network.elements)


def layer_costs(network: Network, device: Device) -> dict[str, Cost]:
    """By the layer that elements belong to; "" holds those between layers."""
    costs: dict[str, Cost] = {}
    for element in network.elements:
        costs[element.layer] = costs.get(element.layer, Cost()) + element_cost(element, device)
    return costs


def element_cost(element: Element, device: Device) -> Cost:
    """One element."""
    numbers = {**element.parameters, "LUTROM": int(element.modes.get("KERNEL") == "lutrom")}
    weights = element.memories.get("WEIGHTS")
    if element.module == "mvtu" and weights is not None and weights.depth <= _SHALLOW:
        numbers["COLUMNS"] = weights.columns
    table = element.memories.get("TABLE")
    if table is not None and table.toggles is not None:  # a bit is the parity of the breakpoints reached that change it
        inputs = 3 if device.family == "ecp5" else 5  # that a table adds to what is known
        numbers["CHOICE"] = sum(ceil((count - 1) / inputs) for count in table.toggles if count)
    cost = module_cost(element.module, numbers, device.family)
    if element.sums is not None:
        cost += sums_cost(element.sums[0], device.family)
    if not device.dsp:  # products of logic
        cost = Cost(cost.lut + _PRODUCT_LUT * cost.dsp, cost.ff, cost.bram)
    return cost


def module_cost(module: str, parameters: dict[str, int], family: str) -> Cost:
    """One module of `rtl/` by its parameters; multipliers are counted where the device may have none."""
    return _FORMULAS[module](parameters, family)


def sums_cost(adders: Hardwired, family: str) -> Cost:
    """The adders of a hard-wired layer, as they are built."""
    found = adders.cost
    return Cost(found.lut * (2 if family == "ecp5" else 1), found.ff)


def _bits(number: int) -> int:
    """Bits that count to number - 1."""
    return max(1, (number - 1).bit_length())


def _is_power(number: int) -> bool:
    return number & (number - 1) == 0


def _rom(depth: int, width: int, family: str, use: Use = _ROM, *, held: int = 0) -> Cost:
    """A ROM with one register behind; of lookup tables one a bit up to 64 words, whose columns then are not all different.

    Args:
        held: where the register has an enable: how many words of a deeper ROM Yosys then puts into one table.
    """
    if depth == 1:
        return Cost()
    ram = map_ram(depth, width, use, family)
    if ram.kind == "block":
        return Cost(round(1.3 * width * (ram.deep - 1)), bram=ram.blocks)
    columns = min(width, _columns(depth))
    share = {2: 0.0, 3: 0.3, 4: 0.5}.get(depth, 0.85 if depth <= 8 else 1.0)
    tables = 1 if depth <= 64 else 1 << _bits(depth) - 6 if depth <= 256 else depth / 44
    if held and depth > 36:
        tables = depth / held
    return Cost(lut=round(columns * share * tables), ff=columns)


def _columns(depth: int) -> int:
    """How many columns of a ROM may differ, a column and its complement being one."""
    return (1 << depth) - 2 >> 1 if depth < 5 else 1 << 30


def _widen(p: dict[str, int], _: str) -> Cost:
    return Cost(5, p["WIDTH"] * p["FACTOR"] + 1 + _bits(p["FACTOR"]))


def _narrow(p: dict[str, int], _: str) -> Cost:
    return Cost((p["FACTOR"] - 1) * p["WIDTH"] + 7, p["WIDTH"] * p["FACTOR"] + 1 + _bits(p["FACTOR"]))


def _fork2(_: dict[str, int], __: str) -> Cost:
    return Cost(6, 2)


def _concat2(p: dict[str, int], _: str) -> Cost:
    return Cost(p["WIDTH"] + 5, _bits(p["A_FOLDS"] + p["B_FOLDS"]))


def _add(p: dict[str, int], family: str) -> Cost:
    if family == "ecp5":
        return Cost(p["LANES"] * chain_luts(p["OUT_BITS"]) + 5, p["LANES"] * p["OUT_BITS"] + 1)
    shorter = "A" if p["A_BITS"] < p["B_BITS"] else "B"
    sums = (max if p[f"{shorter}_SIGNED"] else min)(
        p["A_BITS"], p["B_BITS"]
    )  # a shorter one without sign ends in the carry
    return Cost(p["LANES"] * sums + 5, p["LANES"] * p["OUT_BITS"] + 1)


def _nothing(_: dict[str, int], __: str) -> Cost:
    return Cost()


def _fifo(p: dict[str, int], family: str) -> Cost:
    depth, width = p["DEPTH"], p["WIDTH"]
    bits, ram = _bits(depth), map_ram(depth, width, _QUEUE, family)
    if family == "ecp5":
        return _fifo_ecp5(depth, width, bits, ram)
    if ram.kind == "block":  # what is written while it is read goes around the memory
        return Cost(round(5.5 * bits) + width, 4 * bits + 2 + width, ram.blocks)
    if ram.kind == "distributed":
        control = 5 + 3.6 * bits + (1.3 * width * (ram.deep - 1) if ram.deep > 1 else 0)
        return Cost(round(control) + ram.lut, 4 * bits + 1)
    return Cost(9 + 3 * (bits - 1) + depth * width // 2, 3 * bits + 2 + depth * width)


def _fifo_ecp5(depth: int, width: int, bits: int, ram: Ram) -> Cost:
    """Counters of carry chains, comparisons in tables of 4 inputs."""
    if ram.kind == "block":
        return Cost(10 * bits + width + (0 if _is_power(depth) else 20), 3 * bits + 2 + width, ram.blocks)
    if ram.kind == "distributed":
        control = 6 + 5 * bits if bits <= 3 else 4 + 8 * bits + (0 if _is_power(depth) else 6)
        return Cost(round(control + 1.3 * width * (ram.deep - 1)) + ram.lut, 4 * bits + 1)
    return Cost(12 + 7 * (bits - 1) + depth * width // 2, 3 * bits + 2 + depth * width)


def _window(p: dict[str, int], family: str) -> Cost:
    column = p.get("COLUMN", 0)
    taps = p["KERNEL_H"] if column else 1
    banks = p["ROWS"] if column else 1
    row = p["WIDTH"] * p["FOLDS"]
    depth = p["ROWS"] * row // banks
    line = _bits(
        2 * p["HEIGHT"] + p["ROWS"] + p["OUT_HEIGHT"] * p["STRIDE_H"] + p["KERNEL_H"] * p["DILATION_H"] + p["PAD_TOP"]
    )
    side = p["WIDTH"] + p["OUT_WIDTH"] * p["STRIDE_W"] + p["KERNEL_W"] * p["DILATION_W"] + p["PAD_LEFT"]
    line, side = line + 1, _bits(side * p["FOLDS"]) + 1
    ram = map_ram(depth, p["BEAT"], _RING, family)
    ff = (
        6 * line
        + 2 * side
        + 3 * _bits(depth)
        + p["BEAT"] * taps
        + (0 if ram.kind == "block" else p["BEAT"] * banks)
        + (2 * taps - 5 if column else 5)
    )
    odd_rows, odd_row = not _is_power(p["ROWS"]), not _is_power(row)
    pads, taps_of_row, folds = p["PAD_TOP"] > 0, p["KERNEL_W"] > 1, p["FOLDS"] > 1
    choice = p["BEAT"] * taps * ceil((banks - 1) / 3)  # among the rows of a column
    if family == "ecp5":
        lut = 12 + 12.2 * (line + side) + 11 * odd_rows + 32 * odd_row + 11 * pads + 12 * taps_of_row + 26 * folds
        lut += 2.5 * choice - 89 if column else -8 * _bits(depth)
        lut += (0.87 if ram.kind == "block" else 1.3) * p["BEAT"] * banks * (ram.deep - 1) + ram.lut * banks
    else:
        lut = 2 + 3.1 * (line + side) + 14 * odd_rows + 20 * odd_row + 7 * pads + 9 * taps_of_row + 4 * folds
        lut += 20.5 * (taps - 1) + 10 + choice if column else 2.5 * _bits(depth)
        lut += p["BEAT"] * banks * (0 if ram.deep == 1 else ceil(ram.deep / 4)) + ram.lut * banks
    return Cost(round(lut), round(ff), ram.blocks * banks)


def _comparison(bits: int, *, constant: bool) -> int:
    """Lookup tables of a >= b by a carry chain of three bits a step."""
    return ceil(bits / 2) if constant else round(0.6 * bits)


def _thresholds(p: dict[str, int], depth: int, lanes: int, bits: int, family: str) -> Cost:
    levels, out_bits, choose = p["LEVELS"], p["OUT_BITS"], float(p.get("CHOICE", 0))
    columns = levels * bits
    if "CHOICE" not in p:  # some channels rise, some fall: a column of a lane's codes says which
        columns, choose = columns + 1, levels * out_bits / 1.5 if levels <= 3 else 6.5 * levels
    rom = _rom(depth, lanes * columns, family)
    one = chain_luts(bits + 1) if family == "ecp5" else _comparison(bits, constant=depth == 1)
    compare = levels * one
    return rom + Cost(round(lanes * (compare + choose)), lanes * (bits + out_bits + levels) + 3)


def _credit_queue(width: int, depth: int, family: str) -> Cost:
    return _fifo({"WIDTH": width, "DEPTH": depth}, family) + Cost(2 * _bits(depth + 1), _bits(depth + 1))


def _steps(p: dict[str, int], family: str) -> Cost:
    core = _thresholds(p, p["ROWS"], p["LANES"], p["IN_BITS"], family)
    fold = _bits(p["FOLDS"]) if p["FOLDS"] > 1 else 0
    return core + _credit_queue(p["LANES"] * p["OUT_BITS"], 6, family) + Cost(2 * fold, fold)


def _bisect(p: dict[str, int], family: str) -> Cost:
    lanes, bits, stages, row = p["LANES"], p["IN_BITS"], p["STAGES"], (p["ROWS"] - 1).bit_length()
    one = Cost(0, p["OUT_BITS"] if p["COUNTS"] else 0)
    for stage in range(stages):
        one += _rom(p["ROWS"] << stage, bits, family)
        one += Cost(
            ceil(bits / 2) if p["ROWS"] << stage == 1 else round(0.7 * bits),
            2 * (row + stage) + 1 + (2 if stage else 1) * bits,
        )
    if not p["COUNTS"]:
        one += _rom(p["ROWS"] << stages, p["OUT_BITS"], family)
    fold = _bits(p["FOLDS"]) if p["FOLDS"] > 1 else 0
    queue = _credit_queue(lanes * p["OUT_BITS"], 2 * stages + 4, family)
    return Cost(lanes * one.lut, lanes * one.ff, lanes * one.bram) + queue + Cost(2 * fold + 12, fold + 2 * stages + 1)


def _rescale(p: dict[str, int], family: str) -> Cost:
    lanes, multiplier, fold = p["LANES"], p["MULTIPLIER_BITS"], (_bits(p["FOLDS"]) if p["FOLDS"] > 1 else 0)
    number = p["IN_BITS"] + (not p["IN_SIGNED"])
    small, big = sorted((multiplier, number))
    dsp = 0 if multiplier + number < 9 else 1 if small <= 18 and big <= 25 else _tiles(small, big)
    ends = p["LO"] in (0, -(1 << p["OUT_BITS"] - 1)) and p["HI"] - p["LO"] == (1 << p["OUT_BITS"]) - 1
    lane, ff = float(p["OUT_BITS"] * (1 if ends else 3)), float(p["OUT_BITS"])
    if dsp > 1:  # the sum of the parts is logic
        lane, ff = lane + 1.6 * p["TOTAL_BITS"], ff + 1.2 * p["TOTAL_BITS"]
    elif not dsp:
        lane, ff = lane + p["TOTAL_BITS"], ff + p["IN_BITS"] + 2 * p["TOTAL_BITS"]
    rom = _rom(p["ROWS"], lanes * (multiplier + p["ADDEND_BITS"]), family, held=20)
    waits = min(lanes * p["ADDEND_BITS"] if p["ROWS"] > 1 else 0, _columns(p["ROWS"]))  # for the product
    return rom + Cost(round(lanes * lane) + 6 + fold, round(lanes * ff) + 5 + fold + waits, 0, lanes * dsp)


def _tiles(small: int, big: int) -> int:
    """Multipliers of 18x18 bits for a larger one, which are joined by sums of 17 bits."""
    return ceil((small - 1) / 17) * ceil((big - 1) / 17)


def _pool(p: dict[str, int], family: str) -> Cost:
    lanes, bits, folds = p["LANES"], p["OUT_BITS"], p["FOLDS"]
    lane = 2 * bits if p["SUM"] else bits + (0 if bits <= 2 else ceil(0.8 * bits))
    if family == "ecp5" and not p["SUM"]:
        lane += 3 if bits <= 2 else 2
    kept = _kept(folds, lanes * bits, family)
    return kept + Cost(lanes * lane + (6 if folds == 1 else 12), lanes * bits + 3 + 2 * _bits(folds) + _bits(p["TAPS"]))


def _kept(depth: int, width: int, family: str, use: Use = _QUEUE) -> Cost:
    """A small memory of numbers that are read again."""
    ram = map_ram(depth, width, use, family)
    if ram.kind == "logic":
        return Cost(depth * width if depth > 1 else 0, depth * width)
    return Cost(ram.lut + (width if ram.kind == "block" else 0), 0, ram.blocks)


def _depthwise(p: dict[str, int], family: str) -> Cost:
    lanes, bits = p["LANES"], p["OUT_BITS"]
    multiply = p["IN_BITS"] + 1 + p["WEIGHT_BITS"] >= 9
    product = 0 if multiply else (p["IN_BITS"] + 1) * p["WEIGHT_BITS"]
    rom = _rom(p["TAPS"] * p["FOLDS"], lanes * p["WEIGHT_BITS"], family, held=11)
    ff = lanes * (p["IN_BITS"] + bits) + _bits(p["TAPS"] * p["FOLDS"]) + 2 * _bits(p["FOLDS"]) + 4
    kept = _kept(p["FOLDS"], lanes * bits, family)
    return rom + kept + Cost(lanes * (2 * bits + product) + 15, ff, 0, lanes if multiply else 0)


def _upsample(p: dict[str, int], family: str) -> Cost:
    row = p["WIDTH"] * p["FOLDS"]
    ram = map_ram(2 * row, p["BEAT"], _RING, family)
    bits = sum(_bits(number) for number in (p["HEIGHT"] + p["OUT_HEIGHT"], p["WIDTH"] + p["OUT_WIDTH"], row))
    control = 54 if family == "ecp5" else 30
    return Cost(
        control + 3 * bits + p["BEAT"] + ram.lut, 20 + 2 * bits + (0 if ram.kind == "block" else p["BEAT"]), ram.blocks
    )


def _weights(depth: int, width: int, family: str) -> Cost:
    """Block RAM with a register behind its own; on ECP5 that is the block RAM's too."""
    ram = map_ram(depth, width, _BLOCK_ROM, family) if width else None
    deep = ram.deep if ram and family == "ecp5" else 1
    own = family == "ecp5" and depth <= 1024  # as rom.sv asks
    return Cost(round(0.87 * width * (deep - 1)), 0 if own else width, ram.blocks if ram else 0)


def _mvtu(p: dict[str, int], family: str) -> Cost:
    pe, simd, inner, outer = p["PE"], p["SIMD"], p["IN_FOLDS"], p["OUT_FOLDS"]
    read, fold = (1 if p["LUTROM"] else 2), (_bits(outer) if outer > 1 else 0)
    word, beat = pe * simd * p["WEIGHT_BITS"], simd * p["IN_BITS"]
    word = p.get("COLUMNS", word)
    weights = _rom(inner * outer, word, family, _ROM) if p["LUTROM"] else _weights(inner * outer, word, family)
    elements = pe_cost(simd, p["IN_BITS"], p["WEIGHT_BITS"], p["ACC_BITS"], p["PE_LATENCY"], family)
    luts = family == "ecp5" and inner <= 64  # as mvtu.sv asks
    use = replace(_RING if read == 2 else _QUEUE, style="distributed" if luts else "")
    kept = _kept(inner, beat, family, use) if outer > 1 else Cost()
    if p["LEVELS"]:
        ends = _thresholds(p, outer, pe, p["ACC_BITS"], family)
    else:
        ends = _rom(outer, pe * p["OUT_BITS"], family) + Cost(pe * p["OUT_BITS"], pe * (p["ACC_BITS"] + p["OUT_BITS"]))
    queue = _credit_queue(pe * p["OUT_BITS"], (read + p["PE_LATENCY"] + 4) // inner + 2, family)
    banked = family == "ecp5" and read == 2 and outer > 1
    banks, copies = 2 if 32 < inner <= 64 else 1, ceil(pe / 4)  # of a kept vector on ecp5
    control = Cost(
        30 + 2 * _bits(inner * outer) + (beat * banks if outer > 1 and (read == 1 or banked) else 0),
        2 * _bits(inner * outer)
        + 2 * fold
        + ((1 + copies + (banks if luts else 0)) if banked else 1 if outer > 1 else read) * beat
        + p["PE_LATENCY"]
        + 6
        + (0 if outer == 1 else 2),
    )
    many = Cost(pe * elements.lut, pe * elements.ff, 0, pe * elements.dsp)
    return weights + many + kept + ends + queue + control


def _hard(p: dict[str, int], family: str) -> Cost:
    """The ends of a hard-wired unit."""
    pe, width, levels = p["PE"], p["PE"] * p["OUT_BITS"], p["LEVELS"]
    if levels:  # breakpoints and values are constants
        lane = levels * (p["ACC_BITS"] + p["OUT_BITS"]) / 2
        ends = Cost(round(pe * lane), pe * (p["ACC_BITS"] + p["OUT_BITS"] + levels) + 3)
    else:
        ends = Cost(round(0.65 * width), pe * p["ACC_BITS"] + width)
    queue = _credit_queue(width, p["LATENCY"] + 7, family)
    return ends + queue + Cost(6, p["SIMD"] * p["IN_BITS"] + p["LATENCY"] + 3)


def _slide(p: dict[str, int], _: str) -> Cost:
    counters = _bits(p["COLUMNS"]) + (_bits(p["STRIDE"]) if p["STRIDE"] > 1 else 0)
    return Cost(2 + counters, p["DILATION"] * (p["KERNEL"] - 1) * p["BEAT"] + counters)


def _multiply(p: dict[str, int], family: str) -> Cost:
    a, b = p["A_BITS"], p["B_BITS"]
    if family == "ecp5" and a + b >= 4:
        return Cost(5, p["LANES"] * p["OUT_BITS"] + 1, 0, p["LANES"])
    if a + b >= 9:  # the register is the multiplier's own
        return Cost(5, 1, 0, p["LANES"])
    lut = a + b if a + b <= 6 else round(1.5 * a * b)
    return Cost(p["LANES"] * lut + 5, p["LANES"] * p["OUT_BITS"] + 1)


def _argmax(p: dict[str, int], _: str) -> Cost:
    number = p["IN_BITS"] + 1
    compare = _comparison(number, constant=False)
    lanes = (p["LANES"] - 1) * (compare + number + p["OUT_BITS"])
    return Cost(lanes + compare + 10, 2 * (number + p["OUT_BITS"]) + p["OUT_BITS"] + 2)


def _lookup(p: dict[str, int], family: str) -> Cost:
    bits, fold = _bits(p["ROWS"] * p["FOLDS"]), _bits(p["FOLDS"]) if p["FOLDS"] > 1 else 0
    return _rom(p["ROWS"] * p["FOLDS"], p["BEAT"], family) + Cost(2 + 2 * fold, bits + fold + 2)


def _reorder(p: dict[str, int], family: str) -> Cost:
    place = _bits(p["TAKES"])
    ram = map_ram(2 << place, p["BEAT"], _RING, family)
    order = _rom(p["GIVES"], place, family, held=11)
    choose = p["BEAT"] * (ram.deep - 1) if ram.kind == "distributed" else 0
    ff = place + _bits(p["GIVES"]) + 8 + (0 if ram.kind == "block" else p["BEAT"])
    return order + Cost(ram.lut + choose + 16, ff, ram.blocks)


_FORMULAS: dict[str, Callable[[dict[str, int], str], Cost]] = {
    "add": _add,
    "argmax": _argmax,
    "bisect": _bisect,
    "concat2": _concat2,
    "depthwise": _depthwise,
    "extend": _nothing,
    "fifo": _fifo,
    "fork2": _fork2,
    "hard": _hard,
    "lookup": _lookup,
    "multiply": _multiply,
    "mvtu": _mvtu,
    "narrow": _narrow,
    "pool": _pool,
    "reorder": _reorder,
    "rescale": _rescale,
    "sink": _nothing,
    "slide": _slide,
    "steps": _steps,
    "upsample": _upsample,
    "widen": _widen,
    "window": _window,
}
