# SPDX-License-Identifier: Apache-2.0
"""What a plan comes to: per layer and in all, at assumed clocks, beside published accelerators.

Products are counted where both factors have at most 4 bits; those of the 8-bit ends are listed apart. 1 product = 2 operations.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bitlens.core.files import write_atomically
from bitlens.fpga.network import FpgaError
from bitlens.fpga.page import layer_cells, report_page
from bitlens.fpga.plan import Plan, Row
from bitlens.fpga.seal import damaged
from bitlens.graph.file import Program

__all__ = ["ASSUMED_CLOCKS_MHZ", "PUBLISHED", "add_to_report", "plan_report", "read_report", "render"]

Report = dict[str, Any]

ASSUMED_CLOCKS_MHZ = {"xc7": (150, 200, 250)}  # by family; others have a clock once placed and routed
_LOW_BITS = 4

# 1-bit products of a bit-serial machine count a quarter at 2x2 bits.
PUBLISHED: tuple[Report, ...] = (
    {
        "name": "reference platform: Zynq 7030",
        "figure": "0.9 TOPS of 2-bit weights and 2-bit features, 7.5 W",
        "tops": 0.9,
        "source": "platform table of the slides on DoReFa-Net in embedded vision (Megvii, 2017)",
    },
    {
        "name": "FINN, CIFAR-10 CNV on ZC706 (Zynq 7045)",
        "figure": "21,906 frames/s, 283 us, 80.1 %, 1-bit weights and features",
        "frames_per_second": 21906,
        "source": "Umuroglu et al., FINN, arXiv 1612.07119",
    },
    {
        "name": "BISMO on PYNQ-Z1 (Zynq 7020)",
        "figure": "6.5 TOPS of 1x1 bits, a quarter of that, 1.6, at 2x2 bits",
        "tops": 1.6,
        "source": "Umuroglu et al., BISMO, arXiv 1806.08862",
    },
    {
        "name": "BISMO on Ultra96 (Zynq UltraScale+)",
        "figure": "15.4 TOPS of 1x1 bits, a quarter of that, 3.9, at 2x2 bits",
        "tops": 3.9,
        "source": "Umuroglu et al., optimizing bit-serial matrix multiplication, arXiv 1901.00370",
    },
)


def plan_report(plan: Plan, program: Program) -> Report:
    """Describe a plan, ready for JSON.

    Returns:
        {"model", "device", "clock_mhz", "layers", "totals", "low_bit", "ends", "at_clock", "simulated", "routed", "published"};
        "simulated" and "routed" are null until `add_to_report` fills them.
    """
    totals, device = plan.totals, plan.device
    low = [row for row in plan.rows if row.macs and max(row.bits) <= _LOW_BITS]
    ends = [row for row in plan.rows if row.macs and max(row.bits) > _LOW_BITS]
    return {
        "tool": "bitlens fpga",
        "model": program.metadata.get("name", ""),
        "device": {"name": device.name, "title": device.title, "bram": device.bram.cell, "family": device.family},
        "clock_mhz": plan.clock_mhz,
        "bottleneck": plan.bottleneck,
        "layers": [_layer(row, program) for row in plan.rows],
        "totals": {
            "lut": totals.cost.lut,
            "ff": totals.cost.ff,
            "bram": totals.cost.bram,
            "dsp": totals.cost.dsp,
            "shares": totals.shares,
            "cycles": totals.cycles,
            "latency_cycles": totals.latency,
        },
        "low_bit": {
            "macs": sum(row.macs for row in low),
            "macs_per_cycle": totals.macs_per_cycle,
            "efficiency": totals.efficiency,
        },
        "ends": {"layers": [row.layer for row in ends], "macs": sum(row.macs for row in ends)},
        "at_clock": [_clock(plan, mhz) for mhz in sorted({*ASSUMED_CLOCKS_MHZ.get(device.family, ()), plan.clock_mhz})],
        "simulated": None,
        "routed": None,
        "published": [*PUBLISHED],
    }


def _layer(row: Row, program: Program) -> Report:
    cost = {"lut": row.cost.lut, "ff": row.cost.ff, "bram": row.cost.bram, "dsp": row.cost.dsp}
    fold = None if row.fold is None else {**vars(row.fold)}
    report = {"layer": row.layer, "op": row.op, "fold": fold, "cycles": row.cycles, **cost, "macs": row.macs}
    if row.macs:
        node = next(node for node in program.graph if node.name == row.layer)
        operand = program.graph.value(node.inputs[0]).grid
        assert operand is not None
        report |= {"weight_bits": node.attrs["weight_grid"].bits, "input_bits": operand.bits}
    return report | {"efficiency": row.efficiency}


def _clock(plan: Plan, mhz: float) -> Report:
    totals = plan.totals
    peak = 2 * totals.macs_per_cycle * mhz * 1e6 / 1e12
    return {
        "mhz": mhz,
        "label": "assumed clock",
        "frames_per_second": mhz * 1e6 / totals.cycles,
        "peak_tops": peak,
        "sustained_tops": peak * totals.efficiency,
    }


def read_report(folder: str | Path) -> Report:
    """The report of a project.

    Raises:
        FpgaError: it is damaged.
        OSError: it cannot be read.
    """
    path = Path(folder) / "report.json"
    try:
        report: Report = json.loads(path.read_bytes())
        if report.get("shape") != "unit":
            report_page(report)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise damaged(path) from None
    return report


def _achieved(timing: Path) -> float | None:
    """The clock in MHz that nextpnr reports, the slowest if there are several."""
    try:
        clocks = json.loads(timing.read_bytes()).get("fmax", {}).values()
        return min((float(clock["achieved"]) for clock in clocks), default=None)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise FpgaError(f"{timing}: must be as nextpnr wrote it, not damaged; run scripts/place.sh again") from None


def add_to_report(folder: str | Path, simulated: Report | None = None) -> Report:
    """Add to a project's report what has been measured since: a simulation, and the clock of a route if one was made.

    Args:
        folder: of a project.
        simulated: {"images", "cycles", "latency_cycles", "stalls", "mismatches"}; its efficiency is added.

    Returns:
        The whole report.

    Raises:
        FpgaError: as of `read_report`, or the clock's file is damaged.
    """
    root = Path(folder)
    report = read_report(root)
    if simulated is not None:
        low = report["low_bit"]
        full = low["macs_per_cycle"] * simulated["cycles"]
        report["simulated"] = {**simulated, "efficiency": low["macs"] / full if full else None}
    timing = root / "build" / "timing.json"
    if timing.is_file():
        fmax = _achieved(timing)
        if fmax is not None:
            frames = fmax * 1e6 / report["totals"]["cycles"]
            report["routed"] = {"mhz": fmax, "label": "post-route, nextpnr", "frames_per_second": frames}
    write_atomically(root / "report.json", json.dumps(report, indent=1).encode())
    write_atomically(root / "report.html", report_page(report).encode())
    return report


def render(report: Report) -> str:
    """The report as text: a line a layer, then totals."""
    rows = [["layer", "op", "fold", "cycles", "LUT", "FF", report["device"]["bram"], "DSP", "MAC", "bits", "busy"]]
    rows += [layer_cells(layer) for layer in report["layers"]]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    totals, shares = report["totals"], report["totals"]["shares"]
    lines.append(
        f"{report['device']['title']}: {totals['lut']:,} LUT ({shares['lut']:.1%}), {totals['ff']:,} FF ({shares['ff']:.1%}), "
        f"{totals['bram']:g} {report['device']['bram']} ({shares['bram']:.1%}), {totals['dsp']} DSP, estimated"
    )
    lines.append(f"{totals['cycles']:,} cycles from image to image, set by {report['bottleneck']}")
    low = report["low_bit"]
    if low["macs_per_cycle"]:
        lines.append(
            f"{low['macs_per_cycle']:,} low-bit products a cycle, {low['efficiency']:.1%} of them busy; "
            f"8-bit ends apart: {report['ends']['macs']:,} products an image"
        )
    for clock in report["at_clock"]:
        tops = (
            f", {clock['peak_tops']:.2f} TOPS peak, {clock['sustained_tops']:.2f} sustained"
            if low["macs_per_cycle"]
            else ""
        )
        lines.append(f"{clock['mhz']:g} MHz (assumed clock): {clock['frames_per_second']:,.0f} images/s{tops}")
    family = report["device"]["family"]
    if family not in ASSUMED_CLOCKS_MHZ:
        lines.append("scripts/place.sh places and routes for a real clock")
    if family in ("gowin", "ice40"):
        lines.append("lookup tables of this family are not calibrated with netlists, block RAMs are")
    return "\n".join(lines)
