# SPDX-License-Identifier: Apache-2.0
"""The module `top`: every element of a circuit and the wires between them."""

from __future__ import annotations

from bitlens.fpga.network import Element, Network
from bitlens.fpga.verilog import instance, module_head

__all__ = ["BODIES", "memory_file", "sums_name", "top_level"]

_STRUCTURAL = ("mvtu", "hard")  # modules with a body for each target
BODIES = ["parameter BEHAVIOURAL = 0  // 1: bodies that simulate fast, the same in every cycle"]


def memory_file(element: Element, parameter: str) -> str:
    """The file of a ROM's contents, named from the project's folder.

    Args:
        element: that holds it.
        parameter: of the module that names the file; with .lane.stage behind where it names the beginning of several.
    """
    return f"memory/{element.name}.{parameter.lower()}.hex"


def sums_name(element: Element) -> str:
    """The module of a hard-wired layer's adders."""
    return f"{element.name}_sums"


def top_level(network: Network) -> str:
    """Instances and wires; at its edges streams of data, valid and ready."""
    ends = {"s": network.wires["s"]} | {stream.wire: network.wires[stream.wire] for stream in network.outputs.values()}
    ports = ["input logic clk", "input logic rst"]
    for wire, width in ends.items():
        into = wire == "s"
        ports += [
            f"{'input' if into else 'output'} logic [{width - 1}:0] {wire}_data",
            f"{'input' if into else 'output'} logic {wire}_valid",
            f"{'output' if into else 'input'} logic {wire}_ready",
        ]
    lines = ["// SPDX-License-Identifier: Apache-2.0", "// Made by bitlens: instances and wires, no logic."]
    lines += module_head(network.name, ports, BODIES)
    for wire, width in network.wires.items():
        if wire not in ends:
            lines += [f"  logic [{width - 1}:0] {wire}_data;", f"  logic {wire}_valid, {wire}_ready;"]
    if all(element.module not in _STRUCTURAL for element in network.elements):
        lines.append("  wire unused = &{1'b0, BEHAVIOURAL != 0};")
    layer = None
    for element in network.elements:
        if element.layer != layer:
            layer = element.layer
            lines += ["", f"  // {layer or 'between layers'}"]
        lines += _element(element)
    lines += ["endmodule", ""]
    return "\n".join(lines)


def _element(element: Element) -> list[str]:
    parameters: dict[str, object] = {name: _number(name, value, element) for name, value in element.parameters.items()}
    for name in element.memories:
        parameter, _, several = name.partition(".")
        file = memory_file(element, parameter)
        parameters[parameter] = f'"{file.removesuffix(".hex") if several else file}"'
    parameters |= {name: f'"{word}"' for name, word in element.modes.items()}
    ports = {"clk": "clk", "rst": "rst"}
    for port, wire in (*element.inputs.items(), *element.outputs.items()):
        ports |= {f"{port}_{end}": f"{wire}_{end}" for end in ("data", "valid", "ready")}
    if element.sums is not None:
        return _hard(element, parameters, ports)
    if element.module in _STRUCTURAL:
        parameters["BEHAVIOURAL"] = "BEHAVIOURAL"
    return instance(element.module, f"u_{element.name}", parameters, ports)


def _hard(element: Element, parameters: dict[str, object], ports: dict[str, str]) -> list[str]:
    """A hard-wired layer: its ends, its adders and the wires between."""
    p, name = element.parameters, sums_name(element)
    bodies = {"WEIGHTS": parameters.pop("WEIGHTS"), "BEHAVIOURAL": "BEHAVIOURAL"}
    between = {"numbers": f"{name}_numbers", "totals": f"{name}_totals"}
    return [
        f"  wire [{p['SIMD'] * p['IN_BITS'] - 1}:0] {between['numbers']};",
        f"  wire [{p['PE'] * p['ACC_BITS'] - 1}:0] {between['totals']};",
        *instance(element.module, f"u_{element.name}", parameters, ports | between),
        *instance(name, f"u_{name}", bodies, {"clk": "clk"} | between),
    ]


def _number(name: str, value: int, element: Element) -> str:
    return f"{element.parameters['BEAT']}'h{value:x}" if name == "FILL" else str(value)
