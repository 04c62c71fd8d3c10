# SPDX-License-Identifier: Apache-2.0
"""What a program costs on a unit: cycles, products and memory traffic of every layer, and of an image."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from bitlens.fpga.devices import Device
from bitlens.fpga.unit.cycles import image_cycles, layer_ends, traffic
from bitlens.fpga.unit.estimate import unit_cost
from bitlens.fpga.unit.schedule import Schedule
from bitlens.graph.file import Program

__all__ = ["LATENCY_CYCLES", "render", "unit_report"]

Report = dict[str, Any]

LATENCY_CYCLES = 32  # of the memory, assumed, from a burst's grant to its first word


def unit_report(schedule: Schedule, program: Program, device: Device, clock_mhz: float) -> Report:
    """Describe a schedule, ready for JSON.

    Returns:
        {"tool", "shape", "model", "device", "clock_mhz", "array", "latency_cycles", "layers", "totals", "simulated"}. A layer's
        "efficiency" is the share of the array's digit products that its weights and numbers are made of; "simulated" is null
        until a simulation fills it.
    """
    size = schedule.size
    word_bytes, array = size.simd // 4, size.pe * size.simd
    layers: list[Report] = []
    busy = 0  # products of digits
    ends = [0, *layer_ends(schedule, LATENCY_CYCLES)]
    for step, (begin, end), (read, written) in zip(schedule.steps, pairwise(ends), traffic(schedule), strict=True):
        core, fields = step.layer.core, step.fields
        products = core.macs * fields["digits"] * fields["planes"]
        busy += products
        layers.append(
            {
                "layer": core.name,
                "op": core.op,
                "nodes": [*step.layer.nodes],
                "digits": [fields["digits"], fields["planes"]],
                "cycles": end - begin,
                "macs": core.macs,
                "efficiency": products / (array * (end - begin)),
                "read_bytes": read * word_bytes,
                "written_bytes": written * word_bytes,
            }
        )
    cycles, cost = image_cycles(schedule, LATENCY_CYCLES), unit_cost(size, device)
    shares = {name: number / max(vars(device.cells)[name], 1) for name, number in vars(cost).items()}
    return {
        "tool": "bitlens fpga",
        "shape": "unit",
        "model": program.metadata.get("name", ""),
        "device": {"name": device.name, "title": device.title, "bram": device.bram.cell, "family": device.family},
        "clock_mhz": clock_mhz,
        "array": {"pe": size.pe, "simd": size.simd, "lanes": size.lanes, "acc_bits": size.acc_bits},
        "latency_cycles": LATENCY_CYCLES,
        "layers": layers,
        "totals": {
            "cycles": cycles,
            "macs": sum(layer["macs"] for layer in layers),
            "efficiency": busy / (array * cycles),
            "frames_per_second": clock_mhz * 1e6 / cycles,
            "read_bytes": sum(layer["read_bytes"] for layer in layers),
            "written_bytes": sum(layer["written_bytes"] for layer in layers),
            "memory_bytes": schedule.words * word_bytes,
            **vars(cost),
            "shares": shares,
        },
        "simulated": None,
    }


def render(report: Report) -> str:
    """The report as text: a line a layer, then totals."""
    rows = [["layer", "op", "digits", "cycles", "MAC", "busy", "read", "written"]]
    for layer in report["layers"]:
        weight, number = layer["digits"]
        rows.append(
            [
                layer["nodes"][-1],
                layer["op"],
                f"{weight}x{number}",
                f"{layer['cycles']:,}",
                f"{layer['macs']:,}",
                f"{layer['efficiency']:.1%}",
                f"{layer['read_bytes']:,}",
                f"{layer['written_bytes']:,}",
            ]
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    array, totals = report["array"], report["totals"]
    lines.append(
        f"{report['device']['title']}: a unit of {array['pe']}x{array['simd']} digit products a cycle, "
        f"{totals['efficiency']:.1%} of them busy; {totals['macs']:,} products an image"
    )
    lines.append(
        f"{totals['cycles']:,} cycles an image with a memory of {report['latency_cycles']} cycles latency (assumed); "
        f"{totals['read_bytes']:,} bytes read and {totals['written_bytes']:,} written of {totals['memory_bytes']:,}"
    )
    shares = totals["shares"]
    lines.append(
        f"{totals['lut']:,} LUT ({shares['lut']:.1%}), {totals['ff']:,} FF ({shares['ff']:.1%}), "
        f"{totals['bram']:g} {report['device']['bram']} ({shares['bram']:.1%}), {totals['dsp']} DSP, estimated"
    )
    lines.append(f"{report['clock_mhz']:g} MHz (assumed clock): {totals['frames_per_second']:,.2f} images/s")
    return "\n".join(lines)
