# SPDX-License-Identifier: Apache-2.0
"""A trained net on one FPGA, planned, simulated end to end and synthesised: how many products a cycle, and how many sustained.

Products count where both factors have at most 4 bits; the 8-bit ends are listed apart. Figures: docs/results/fpga_plan.json.

.venv/bin/python benchmarks/fpga_plan.py [--data CIFAR10_DIR] [--images 20] [--steps plan,simulation,synthesis]
"""

from __future__ import annotations

import argparse
import datetime
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bitlens.core.files import write_atomically
from bitlens.data.cifar10 import cifar10
from bitlens.fpga.devices import load_device
from bitlens.fpga.export import random_images
from bitlens.fpga.plan import Plan, Row, plan
from bitlens.fpga.project import write_project
from bitlens.fpga.simulate import Simulator
from bitlens.fpga.synthesis import synthesise
from bitlens.graph.file import Program

NET = Path("docs/results/cifar10_resnet20/w2a2g32/resnet20_w2a2.bitlens")
RESULT = Path("docs/results/fpga_plan.json")
STEPS = ("plan", "simulation", "synthesis")
CLOCK_MHZ = 200  # assumed


def is_low(row: Row) -> bool:
    """Whether a layer multiplies factors of few bits."""
    return 0 < max(row.bits) <= 4


def planned(found: Plan) -> dict[str, Any]:
    """Figures of a plan."""
    totals = found.totals
    ends = [row for row in found.rows if row.macs and not is_low(row)]
    return {
        "device": found.device.name,
        "products_a_cycle": totals.macs_per_cycle,
        "products_an_image": sum(row.macs for row in found.rows if is_low(row)),
        "products_of_8_bits_an_image": {row.layer: row.macs for row in ends},
        "cycles_an_image": totals.cycles,
        "efficiency": round(totals.efficiency, 4),
        "bottleneck": found.bottleneck,
        "assumed_clock_mhz": CLOCK_MHZ,
        "frames_a_second_at_that_clock": round(totals.frames_per_second),
        "peak_tops_at_that_clock": round(2 * totals.macs_per_cycle * CLOCK_MHZ / 1e6, 3),
        "lut": totals.cost.lut,
        "ff": totals.cost.ff,
        "bram": totals.cost.bram,
        "dsp": totals.cost.dsp,
        "shares": {name: round(share, 4) for name, share in totals.shares.items()},
    }


def simulated(found: Plan, program: Program, images: np.ndarray) -> dict[str, Any]:
    """Every integer out beside the interpreter's, and the cycles."""
    with tempfile.TemporaryDirectory() as folder:
        simulation = Simulator(found.network, write_project(found.network, folder)).run(images)
    golden = program.run(images)
    low = sum(row.macs for row in found.rows if is_low(row))
    return {
        "images": len(images),
        "integers_compared": sum(array.size for array in golden.values()),
        "mismatching_integers": sum(int((simulation.outputs[name] != golden[name]).sum()) for name in golden),
        "cycles_an_image": simulation.interval,
        "cycles_of_the_first": int(simulation.ends[0]) + 1,
        "efficiency": round(low / (found.totals.macs_per_cycle * simulation.interval), 4),
        "sustained_tops_at_that_clock": round(2 * low * CLOCK_MHZ / simulation.interval / 1e6, 3),
    }


def synthesised(found: Plan, yosys: str | None) -> dict[str, Any]:
    """Cells as Yosys makes them of the whole accelerator, its AXI edges included."""
    with tempfile.TemporaryDirectory() as folder:
        root = write_project(found.network, folder)
        start = time.monotonic()
        sources = sorted((root / "rtl").glob("*.*v"))
        made = synthesise(sources, "accelerator", found.device.family, folder=root, yosys=yosys)
        seconds = time.monotonic() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cost, device = made.cost, found.device
    return {
        "tool": made.version,
        "lut": cost.lut,
        "ff": cost.ff,
        "bram": cost.bram,
        "dsp": cost.dsp,
        "lut_share": round(cost.lut / device.lut, 4),
        "bram_share": round(cost.bram / device.bram.count, 4),
        "estimate_of_lut_is_off_by": round(found.totals.cost.lut / cost.lut - 1, 4),
        "cells": made.cells,
        "seconds": round(seconds),
        "processor_seconds": round(used.ru_utime),
        "megabytes": used.ru_maxrss // 1024,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of CIFAR-10; without, random images")
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--steps", default=",".join(STEPS), help="which figures are made anew")
    parser.add_argument("--device", default="xc7z030")
    parser.add_argument("--lut-share", type=float, default=0.7)
    parser.add_argument("--yosys", help="command; without, the one of the Python package")
    arguments = parser.parse_args()
    program = Program.from_bytes(NET.read_bytes())
    found = plan(program, load_device(arguments.device), lut_share=arguments.lut_share, clock_mhz=CLOCK_MHZ)
    told: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.is_file() else {}
    told |= {"net": str(NET), "most_lut_share": arguments.lut_share}
    wrong = 0
    for step in arguments.steps.split(","):
        if step == "plan":
            told[step] = planned(found)
        elif step == "simulation":
            images = np.asarray(random_images(program, arguments.images, 1))
            if arguments.data is not None:
                images = cifar10(arguments.data).test.images[: arguments.images].astype(np.int64)
            told[step] = simulated(found, program, images) | {
                "of": "test images" if arguments.data else "random images"
            }
            wrong = told[step]["mismatching_integers"]
        elif step == "synthesis":
            told[step] = synthesised(found, arguments.yosys)
        else:
            parser.error(f"--steps: must be of {', '.join(STEPS)}, not {step}")
        images_told = f" --images {arguments.images}" if step == "simulation" else ""
        data_told = " --data CIFAR10_DIR" if step == "simulation" and arguments.data is not None else ""
        told[step]["command"] = f"python benchmarks/fpga_plan.py{data_told}{images_told} --steps {step}"
        told[step]["date"] = datetime.date.today().isoformat()
        print(step, json.dumps(told[step], indent=1), flush=True)
        write_atomically(RESULT, (json.dumps(told, indent=1) + "\n").encode())
    return int(wrong != 0)


if __name__ == "__main__":
    sys.exit(main())
