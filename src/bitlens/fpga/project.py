# SPDX-License-Identifier: Apache-2.0
"""Write a circuit as a folder: modules, memories, the top level that wires them."""

from __future__ import annotations

import json
import os
import shutil
from importlib import resources
from pathlib import Path

from bitlens.core.files import write_atomically
from bitlens.fpga.memory import Memory
from bitlens.fpga.network import Element, Network

__all__ = ["RTL", "top_level", "write_project"]

RTL = resources.files("bitlens.fpga") / "rtl"
_NEEDS = {"mvtu": ("dot", "thresholds", "fifo"), "steps": ("thresholds", "fifo")}
_STRUCTURAL = ("mvtu",)  # modules with a body for each target


def write_project(network: Network, folder: str | os.PathLike[str]) -> Path:
    """Write `rtl/` with the modules that are used, `memory/*.hex`, `rtl/top.sv` and `network.json`.

    Returns:
        The folder.
    """
    root = Path(folder)
    for part in ("rtl", "memory"):
        shutil.rmtree(root / part, ignore_errors=True)
        (root / part).mkdir(parents=True)
    used = {element.module for element in network.elements}
    used |= {name for module in used for name in _NEEDS.get(module, ())}
    for module in sorted(used):
        write_atomically(root / "rtl" / f"{module}.sv", (RTL / f"{module}.sv").read_bytes())
    for element in network.elements:
        for parameter, memory in element.memories.items():
            write_atomically(root / "memory" / _file(element, parameter), _hex(memory))
    write_atomically(root / "rtl" / "top.sv", top_level(network).encode())
    write_atomically(root / "network.json", json.dumps(_description(network), indent=1).encode())
    return root


def _file(element: Element, parameter: str) -> str:
    return f"{element.name}.{parameter.lower()}.hex"


def _hex(memory: Memory) -> bytes:
    digits = -(-memory.width // 4)
    return "".join(f"{word:0{digits}x}\n" for word in memory.words).encode()


def top_level(network: Network) -> str:
    """The module that instantiates and wires all elements; its edges are AXI4-Stream."""
    ends = {"s": network.wires["s"]} | {stream.wire: network.wires[stream.wire] for stream in network.outputs.values()}
    lines = ["// SPDX-License-Identifier: Apache-2.0", "// Made by bitlens: instances and wires, no logic."]
    ports = ["input logic clk", "input logic rst"]
    for wire, width in ends.items():
        into = wire == "s"
        ports += [
            f"{'input' if into else 'output'} logic [{width - 1}:0] {wire}_data",
            f"{'input' if into else 'output'} logic {wire}_valid",
            f"{'output' if into else 'input'} logic {wire}_ready",
        ]
    lines += [f"module {network.name} #("]
    lines += ["    parameter BEHAVIOURAL = 0  // 1: bodies that simulate fast, the same in every cycle", ") ("]
    lines += [",\n".join(f"    {port}" for port in ports), ");"]
    for wire, width in network.wires.items():
        if wire not in ends:
            lines.append(f"  logic [{width - 1}:0] {wire}_data;")
            lines.append(f"  logic {wire}_valid, {wire}_ready;")
    for element in network.elements:
        lines.append("")
        lines += _instance(element)
    lines += ["endmodule", ""]
    return "\n".join(lines)


def _instance(element: Element) -> list[str]:
    parameters = [f"      .{name}({_number(name, value, element)})" for name, value in element.parameters.items()]
    parameters += [f'      .{name}("memory/{_file(element, name)}")' for name in element.memories]
    parameters += [f'      .{name}("{word}")' for name, word in element.modes.items()]
    parameters += ["      .BEHAVIOURAL(BEHAVIOURAL)"] if element.module in _STRUCTURAL else []
    ports = ["      .clk(clk)", "      .rst(rst)"]
    for port, wire in (*element.inputs.items(), *element.outputs.items()):
        ports += [f"      .{port}_{end}({wire}_{end})" for end in ("data", "valid", "ready")]
    return [f"  {element.module} #(", ",\n".join(parameters), f"  ) u_{element.name} (", ",\n".join(ports), "  );"]


def _number(name: str, value: int, element: Element) -> str:
    if name == "FILL":
        return f"{element.parameters['BEAT']}'h{value:x}"
    return str(value)


def _description(network: Network) -> dict[str, object]:
    return {
        "input": vars(network.input),
        "outputs": {name: vars(stream) for name, stream in network.outputs.items()},
        "elements": [
            {
                "name": e.name,
                "module": e.module,
                "layer": e.layer,
                "cycles": e.cycles,
                "parameters": e.parameters | e.modes,
            }
            for e in network.elements
        ],
    }
