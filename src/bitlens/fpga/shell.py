# SPDX-License-Identifier: Apache-2.0
"""The accelerator around a circuit: AXI4-Stream at both ends, integers in containers of whole bytes.

s_axis -> axis_in -> top -> axis_out -> m0_axis, m1_axis, ...
"""

from __future__ import annotations

from bitlens.fpga.network import Network, Stream
from bitlens.fpga.top import BODIES
from bitlens.fpga.verilog import instance, module_head

__all__ = ["SHELL_MODULES", "container_bits", "edge_bytes", "shell"]

SHELL_MODULES = ("axis_in", "axis_out")


def container_bits(stream: Stream) -> int:
    """Bits of what holds one integer outside: 8, 16, 32 or 64, so that a buffer is an array of a C type."""
    return next(width for width in (8, 16, 32, 64) if width >= stream.bits)


def edge_bytes(stream: Stream) -> int:
    """Bytes of a beat at the accelerator's edge."""
    return stream.lanes * container_bits(stream) // 8


def shell(network: Network) -> str:
    """The module `accelerator`, in plain Verilog, which every tool takes as a top level: instances and wires, no logic."""
    entry, exits = network.input, list(network.outputs.values())
    ports = ["input wire aclk", "input wire aresetn", *_ports("s_axis", entry, "input", "output")]
    for place, stream in enumerate(exits):
        ports += _ports(f"m{place}_axis", stream, "output", "input")
    lines = [
        "// SPDX-License-Identifier: Apache-2.0",
        "// Made by bitlens: top.sv with AXI4-Stream edges; instances and wires, no logic.",
        *module_head("accelerator", ports, BODIES),
        "  wire rst = !aresetn;",
        "  wire taken, fault;",
        *_wires("s", entry),
    ]
    circuit = {"clk": "aclk", "rst": "rst"} | _handshake("s")
    lines += instance("axis_in", "u_axis_in", _format(entry), _entry_ports())
    for place, stream in enumerate(exits):
        wire = f"m{place}"
        circuit |= _handshake(wire)
        lines += [*_wires(wire, stream), f"  wire {wire}_given;"]
        parameters = _format(stream) | {"SIGNED": int(stream.signed)}
        lines += instance("axis_out", f"u_axis_out_{place}", parameters, _exit_ports(wire))
    events = ", ".join(["taken", "fault", *(f"m{place}_given" for place in range(len(exits)))])
    lines += [f"  wire unused = &{{1'b0, {events}}};"]
    lines += [*instance(network.name, f"u_{network.name}", {"BEHAVIOURAL": "BEHAVIOURAL"}, circuit), "endmodule", ""]
    return "\n".join(lines)


def _ports(name: str, stream: Stream, forth: str, back: str) -> list[str]:
    data = f"{forth} wire [{8 * edge_bytes(stream) - 1}:0] {name}_tdata"
    return [data, f"{forth} wire {name}_tvalid", f"{back} wire {name}_tready", f"{forth} wire {name}_tlast"]


def _wires(wire: str, stream: Stream) -> list[str]:
    return [f"  wire [{stream.width - 1}:0] {wire}_data;", f"  wire {wire}_valid, {wire}_ready;"]


def _handshake(wire: str) -> dict[str, str]:
    return {f"{wire}_{end}": f"{wire}_{end}" for end in ("data", "valid", "ready")}


def _format(stream: Stream) -> dict[str, object]:
    return {
        "LANES": stream.lanes,
        "BITS": stream.bits,
        "CONTAINER": container_bits(stream),
        "BEATS": stream.beats,
    }


def _entry_ports() -> dict[str, str]:
    outside = {f"s_t{end}": f"s_axis_t{end}" for end in ("data", "valid", "ready", "last")}
    inside = {f"out_{end}": f"s_{end}" for end in ("data", "valid", "ready")}
    return {"clk": "aclk", "rst": "rst"} | outside | inside | {"taken": "taken", "fault": "fault"}


def _exit_ports(wire: str) -> dict[str, str]:
    outside = {f"m_t{end}": f"{wire}_axis_t{end}" for end in ("data", "valid", "ready", "last")}
    inside = {f"in_{end}": f"{wire}_{end}" for end in ("data", "valid", "ready")}
    return {"clk": "aclk", "rst": "rst"} | inside | outside | {"given": f"{wire}_given"}
