# SPDX-License-Identifier: Apache-2.0
"""CIFAR-10 nets planned for the device of FINN's published CIFAR-10 circuit, at an assumed clock, beside its figures.

    python benchmarks/fpga_cifar10.py [--write]      # --write: docs/results/fpga_cifar10.json and the table of docs/fpga.md

Each net twice: the smallest circuit that reaches FINN's frames a second, and the fastest in 70 % of the lookup tables. Cells are
those of the estimator, which tests hold within 10 % of Yosys; FINN's circuit was measured on a board, ours are plans.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from bitlens.core.files import write_atomically
from bitlens.fpga.devices import load_device
from bitlens.fpga.network import FpgaError
from bitlens.fpga.plan import plan
from bitlens.fpga.report import PUBLISHED
from bitlens.graph.file import Program

ROOT = Path(__file__).parents[1]
RESULT, PAGE = ROOT / "docs" / "results" / "fpga_cifar10.json", ROOT / "docs" / "fpga.md"
BEGIN, END = "<!-- benchmarks/fpga_cifar10.py -->", "<!-- end -->"
NETS = {
    "1-2-6 (7 convolutions)": "cifar10/w1a2g6/w1a2g6.bitlens",
    "ResNet-20 w2a2": "cifar10_resnet20/w2a2g32/resnet20_w2a2.bitlens",
}
DEVICE = "xc7z045"
CLOCK_MHZ = 200
(FINN,) = (entry for entry in PUBLISHED if entry.get("frames_per_second"))


def row(net: str, goal: float | None) -> dict[str, Any]:
    """A net's plan, or why there is none."""
    file = ROOT / "docs" / "results" / NETS[net]
    accuracy = json.loads((file.parent / "engine.json").read_text())["accuracy"]
    found: dict[str, Any] = {"net": net, "goal_frames_per_second": goal, "accuracy": accuracy}
    try:
        plans = plan(Program.load(file), load_device(DEVICE), goal, clock_mhz=CLOCK_MHZ)
    except FpgaError as error:
        return found | {"refused": str(error)}
    totals = plans.totals
    return found | {
        "macs": sum(layer.macs for layer in plans.rows),
        "frames_per_second": round(totals.frames_per_second),
        "latency_us": round(totals.latency / CLOCK_MHZ),
        "luts": totals.cost.lut,
        "lut_share": round(totals.shares["lut"], 3),
        "brams": totals.cost.bram,
        "macs_per_cycle": totals.macs_per_cycle,
        "efficiency": round(totals.efficiency, 3),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The rows beside FINN's, as Markdown."""
    lines = [
        "| net | test accuracy | products a frame | frames/s | latency | LUT | block RAM |",
        "|---|---|---|---|---|---|---|",
    ]
    lines.append(f"| FINN's CNV, w1a1, published | 80.1 % | | {FINN['frames_per_second']:,} | 283 us | | |")
    for each in rows:
        name = each["net"] + (", at FINN's pace" if each["goal_frames_per_second"] else ", 70 % of the LUTs")
        if "refused" in each:
            lines.append(f"| {name} | {100 * each['accuracy']:.2f} % | | not reached | | | |")
            continue
        lines.append(
            f"| {name} | {100 * each['accuracy']:.2f} % | {each['macs'] / 1e6:.1f} M | {each['frames_per_second']:,} "
            f"| {each['latency_us']} us | {each['luts']:,} ({100 * each['lut_share']:.0f} %) | {each['brams']:g} |"
        )
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    rows = [row(net, goal) for net in NETS for goal in (FINN["frames_per_second"], None)]
    text = table(rows)
    print(text)
    for each in rows:
        if "refused" in each:
            print(f"{each['net']}: {each['refused']}")
    if "--write" in arguments:
        content = {
            "command": "python benchmarks/fpga_cifar10.py --write",
            "device": DEVICE,
            "clock_mhz": CLOCK_MHZ,
            "rows": rows,
        }
        write_atomically(RESULT, (json.dumps(content, indent=1) + "\n").encode())
        before, rest = PAGE.read_text().split(BEGIN)
        after = rest.split(END, 1)[1]
        write_atomically(PAGE, f"{before}{BEGIN}\n{text}\n{END}{after}".encode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
