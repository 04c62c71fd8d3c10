# SPDX-License-Identifier: Apache-2.0
"""The accelerator around a circuit: AXI4-Stream at both ends, integers in containers of whole bytes; registers that tell.

s_axis -> axis_in -> top -> axis_out -> m0_axis, m1_axis, ...;   status <-> s_axil (AXI4-Lite)
"""

from __future__ import annotations

from bitlens.fpga.network import Network, Stream
from bitlens.fpga.top import BODIES
from bitlens.fpga.verilog import instance, module_head

__all__ = ["SHELL_MODULES", "container_bits", "edge_bytes", "shell"]

SHELL_MODULES = ("axis_in", "axis_out", "status")
_REGISTERS = {  # of AXI4-Lite, what a channel's side drives: direction and bits
    "awaddr": ("input", 5),
    "awvalid": ("input", 1),
    "awready": ("output", 1),
    "wdata": ("input", 32),
    "wstrb": ("input", 4),
    "wvalid": ("input", 1),
    "wready": ("output", 1),
    "bresp": ("output", 2),
    "bvalid": ("output", 1),
    "bready": ("input", 1),
    "araddr": ("input", 5),
    "arvalid": ("input", 1),
    "arready": ("output", 1),
    "rdata": ("output", 32),
    "rresp": ("output", 2),
    "rvalid": ("output", 1),
    "rready": ("input", 1),
}


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
    ports += [
        f"{way} wire {f'[{bits - 1}:0] ' if bits > 1 else ''}s_axil_{name}" for name, (way, bits) in _REGISTERS.items()
    ]
    lines = [
        "// SPDX-License-Identifier: Apache-2.0",
        "// Made by bitlens: top.sv with AXI4-Stream edges; instances and wires, no logic.",
        *module_head("accelerator", ports, BODIES),
        "  wire rst = !aresetn;",
        "  wire arriving, taken, fault;",
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
    given = ", ".join(f"m{place}_given" for place in reversed(range(len(exits))))
    told = {
        "clk": "aclk",
        "rst": "rst",
        "arriving": "arriving",
        "taken": "taken",
        "given": f"{{{given}}}",
        "fault": "fault",
    }
    registers = {f"s_axil_{name}": f"s_axil_{name}" for name in _REGISTERS}
    lines += instance("status", "u_status", {"OUTPUTS": len(exits)}, told | registers)
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
    return {"clk": "aclk", "rst": "rst"} | outside | inside | {event: event for event in ("arriving", "taken", "fault")}


def _exit_ports(wire: str) -> dict[str, str]:
    outside = {f"m_t{end}": f"{wire}_axis_t{end}" for end in ("data", "valid", "ready", "last")}
    inside = {f"in_{end}": f"{wire}_{end}" for end in ("data", "valid", "ready")}
    return {"clk": "aclk", "rst": "rst"} | inside | outside | {"given": f"{wire}_given"}
