# SPDX-License-Identifier: Apache-2.0
"""The module of a hard-wired layer's adders: instances of `tables.sv` and `adder.sv`, and registers between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from bitlens.fpga.hardwired import NUMBERS, Adder, Bit, FullAdder, Hardwired, Tables
from bitlens.fpga.products import Products
from bitlens.fpga.verilog import module_head

__all__ = ["sums_module"]


def sums_module(name: str, made: Hardwired, products: Products, target: str) -> str:
    """Text of the module.

    Args:
        name: of the module.
        made: its adders.
        products: of the same weights: the form that simulates fast.
        target: family of devices.
    """
    outputs, inputs = made.weights.shape
    ports = [
        "input logic clk",
        f"input logic [{inputs * made.in_bits - 1}:0] {NUMBERS}",
        f"output logic [{outputs * made.total_bits - 1}:0] totals",
    ]
    count = {kind: sum(isinstance(node, kind) for node in made.nodes) for kind in (Tables, FullAdder, Adder)}
    parameters = ['parameter WEIGHTS = ""', "parameter BEHAVIOURAL = 0  // 1: the form that simulates fast"]
    lines = [
        "// SPDX-License-Identifier: Apache-2.0",
        f"// Made by bitlens: {outputs} sums of constant multiples of {inputs} numbers of {made.in_bits} bits.",
        "//",
        "//   totals[o] = offset[o] + sum over i of weight[o][i] * numbers[i]",
        "//",
        f"// Tables (t) of {count[Tables]} groups of inputs, {count[Adder]} adders (s), {count[FullAdder]} full adders (f) of",
        "// their lowest bits. What several outputs need is there once. x_now is x a cycle before, x_2 is x two cycles after.",
        f"// Latency {made.latency} cycles, throughput 1 vector a cycle, no reset.",
        *module_head(name, ports, parameters),
        "  generate",
        "    if (BEHAVIOURAL != 0) begin : gen_behaviour",
        *(f"      {line}" for line in _behaviour(made, products)),
        "    end else begin : gen_structure",
        *(f"      {line}" for line in [*_registers(made), *_nodes(made, target), *_totals(made)]),
        "    end",
        "  endgenerate",
        "endmodule",
    ]
    return "\n".join(lines) + "\n"


def _behaviour(made: Hardwired, products: Products) -> list[str]:
    outputs, inputs = made.weights.shape
    bits = made.total_bits
    sign = f" ^ {{{inputs}{{{made.in_bits}'d{1 << made.in_bits - 1}}}}}" if made.in_signed else ""
    parameters: dict[str, object] = {"PE": outputs, "SIMD": inputs, "IN_BITS": made.in_bits}
    parameters |= {"WEIGHT_BITS": products.weight_bits, "ODD": int(products.odd), "ACC_BITS": bits, "READ": 1}
    parameters |= {"LATENCY": made.latency, "CONTENTS": "WEIGHTS"}
    wires = {
        "clk": "clk",
        "address": "1'b0",
        "numbers": NUMBERS + sign,
        "first": "1'b1",
        "valid": "1'b1",
        "totals": "sums",
    }
    lines = [f"wire [{outputs * bits - 1}:0] sums;", _instance("lanes", "u_lanes", parameters, wires)]
    for place, more in enumerate(made.offsets - products.excess):  # than the products that lanes.sv sums
        field = f"[{place * bits}+:{bits}]"
        lines.append(f"assign totals{field} = sums{field} + {bits}'d{int(more) % (1 << bits)};")
    return lines


def _registers(made: Hardwired) -> list[str]:
    """Every register, and those in which it waits."""
    lines, every = list[str](), list[str]()
    widths = {node.net: _width(node) for node in made.nodes} | {NUMBERS: made.weights.shape[1] * made.in_bits}
    for net, width in widths.items():
        last = max(made.delays.get(net, {0: 0}).values())
        names = [_name(net, delay) for delay in range(last + 1)]
        if net != NUMBERS:
            lines.append(f"wire [{width - 1}:0] {net}_now;")
            names = [f"{net}_now", *names]
        if names[1:]:
            lines.append(f"logic [{width - 1}:0] {', '.join(names[1:])};")
        lines += [f"always_ff @(posedge clk) {after} <= {name};" for name, after in pairwise(names)]
        every += names
    return [*lines, f"wire unused = &{{1'b0, {', '.join(every)}}};  // bits that nothing reads"]


def _width(node: Tables | FullAdder | Adder) -> int:
    if isinstance(node, Adder):
        return len(node.numbers[0]) + 1
    return len(node.columns) if isinstance(node, Tables) else 1 + len(node.carries)


def _nodes(made: Hardwired, target: str) -> list[str]:
    lines = []
    for node in made.nodes:
        out = f"{node.net}_now"
        parameters: dict[str, object]
        if isinstance(node, Adder):
            parameters = {"WIDTH": len(node.numbers[0]), "COUNT": len(node.numbers)}
            wires = {letter: _vector(number) for letter, number in zip("abc", node.numbers, strict=False)}
            for letter, number in zip("ABC", node.numbers, strict=False):
                mask = sum(bit.inverted << place for place, bit in enumerate(number))
                if mask:
                    parameters[f"{letter}_INVERT"] = f"{len(number)}'h{mask:x}"
            wires = {"c": f"{len(node.numbers[0])}'d0"} | wires | {"carry": _carry(node.carry), "sum": out}
            lines.append(_instance("adder", f"u_{node.net}", parameters | {"TARGET": f'"{target}"'}, wires))
            continue
        if isinstance(node, Tables):
            inputs, columns, index = node.bits, node.columns, f"{NUMBERS}[{node.first}+:{node.bits}]"
        else:
            inputs, columns, index = 3, [_SUM, *map(_carry_column, node.carries)], _vector(node.bits)
        contents = sum(column << (place << inputs) for place, column in enumerate(columns))
        parameters = {"INPUTS": inputs, "COLUMNS": len(columns), "CONTENTS": f"{len(columns) << inputs}'h{contents:x}"}
        wires = {"index": index, "out": out}
        lines.append(_instance("tables", f"u_{node.net}", parameters | {"TARGET": f'"{target}"'}, wires))
    return lines


def _totals(made: Hardwired) -> list[str]:
    lines, width = [], made.total_bits
    for place, bits in enumerate(made.totals):
        text = "".join(f", {'~' if bit.inverted else ''}{_text(bit)}" for bit in reversed(bits))
        lines.append(f"assign totals[{place * width}+:{width}] = {{{width - len(bits)}'d0{text}}};")
    return lines


def _instance(module: str, name: str, parameters: Mapping[str, object], ports: Mapping[str, str]) -> str:
    """An instance in one line: there are hundreds."""
    values = ", ".join(f".{key}({value})" for key, value in parameters.items())
    return f"{module} #({values}) {name} ({', '.join(f'.{port}({wire})' for port, wire in ports.items())});"


def _name(net: str, delay: int) -> str:
    return net if not delay else f"{net}_{delay}"


def _text(bit: Bit) -> str:
    return f"{_name(bit.net, bit.delay)}[{bit.place}]" if bit.net else "1'b0"


def _vector(bits: Sequence[Bit]) -> str:
    return "{" + ", ".join(_text(bit) for bit in reversed(bits)) + "}"


def _carry(bit: Bit) -> str:
    """A carry a cycle before it is in its register."""
    return f"{bit.net}_now[{bit.place}]" if bit.net else "1'b0"


_SUM = 0x96  # column of a ^ b ^ c


def _carry_column(inverted: tuple[bool, bool, bool]) -> int:
    """The carry's column for every index of three bits."""
    return sum(1 << index for index in range(8) if sum((index >> i & 1) ^ inverted[i] for i in range(3)) > 1)
