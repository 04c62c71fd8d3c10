# SPDX-License-Identifier: Apache-2.0
"""Trained nets as circuits: test images through RTL simulation at three foldings, with and without pauses, every code compared.

    python benchmarks/fpga_simulation.py --cifar10 DIR --mnist DIR [--images 1000] [--net NAME] [--goal NAME] [--write]

With --write rows go to docs/results/fpga_simulation.json as soon as each is done, in the place of an older one of the same net,
goal, pauses and number of images. Images go through as many circuits at once as there are cores; processor seconds are
those of all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bitlens.core.files import write_atomically
from bitlens.fpga.devices import load_device
from bitlens.fpga.network import Network
from bitlens.fpga.pace import predict_pace
from bitlens.fpga.plan import plan
from bitlens.fpga.project import write_project
from bitlens.fpga.simulate import Simulator
from bitlens.graph.file import Program
from bitlens.results.circuit import read_images
from bitlens.runtime import Session

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "docs" / "results" / "fpga_simulation.json"
DEVICE = "xc7z030"
NETS = {  # program, data set, frames a second of the smaller foldings; the largest fills 70 % of the lookup tables
    "mnist w1a2": ("docs/results/mnist/w1a2g32/mnist_w1a2.bitlens", "mnist", (20_000, 40_000)),
    "cifar10 w1a2": ("docs/results/cifar10/w1a2g6/w1a2g6.bitlens", "cifar10", (10_000, 20_000)),
    "cifar10 w2a2": ("docs/results/balanced/c_22_mean-scaled_seed0/program.bitlens", "cifar10", (10_000, 20_000)),
    "resnet20 w2a2": ("docs/results/cifar10_resnet20/w2a2g32/resnet20_w2a2.bitlens", "cifar10", (2_000, 4_000)),
}
GOALS = ("low", "mid", "plan")


def processor_seconds() -> float:
    """Of this process and of those it waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def simulate(simulator: Simulator, images: np.ndarray, golden: dict[str, np.ndarray], pauses: float) -> dict[str, Any]:
    """One run: what came out beside golden, cycles beside those foretold, seconds."""
    began, processor = time.monotonic(), processor_seconds()
    found = simulator.run(images, pauses=(pauses, pauses), circuits=len(os.sched_getaffinity(0)))
    seconds, processor = time.monotonic() - began, processor_seconds() - processor
    row: dict[str, Any] = {
        "pauses": pauses,
        "images": len(images),
        "codes": sum(codes.size for codes in golden.values()),
    }
    row["mismatches"] = sum(int((found.outputs[name] != golden[name]).sum()) for name in golden)
    row["cycles"] = round(found.interval, 1)
    if not pauses:
        row["foretold"] = predict_pace(simulator.network).interval
    return row | {
        "seconds": round(seconds, 1),
        "processor_seconds": round(processor, 1),
        "images_per_second": round(len(images) / seconds, 1),
    }


def rows_of(net: str, goal: str, data: str, count: int) -> list[dict[str, Any]]:
    """The runs of a net at a goal: plain, and with both sides pausing a third of the time."""
    file, _, goals = NETS[net]
    program = Program.load(ROOT / file)
    frames = None if goal == "plan" else goals[GOALS.index(goal)]
    network: Network = plan(program, load_device(DEVICE), frames).network
    images = read_images(data, program, count)
    session = Session(str(ROOT / file))
    parts = [session.run(images[begin : begin + 100]) for begin in range(0, len(images), 100)]
    golden = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    with tempfile.TemporaryDirectory() as folder:
        began, processor = time.monotonic(), processor_seconds()
        simulator = Simulator(network, write_project(network, Path(folder)))
        built, processor = time.monotonic() - began, processor_seconds() - processor
        common = {"net": net, "goal": goal, "program": file, "device": DEVICE, "bottleneck": network.bottleneck.layer}
        common |= {"build_seconds": round(built, 1), "build_processor_seconds": round(processor, 1)}
        return [common | simulate(simulator, images, golden, pauses) for pauses in (0.0, 0.3)]


def line(row: dict[str, Any]) -> str:
    foretold = f" ({row['foretold']:,} foretold)" if "foretold" in row else f", pauses {row['pauses']:.0%}"
    return (
        f"{row['net']:13} {row['goal']:4} {row['images']:6,} images, {row['mismatches']} of {row['codes']:,} codes differ, "
        f"{row['cycles']:,} cycles{foretold}; built in {row['build_seconds']} s, simulated in {row['seconds']} s "
        f"({row['build_processor_seconds']} and {row['processor_seconds']} s of processors)"
    )


def keep(rows: list[dict[str, Any]], command: str) -> None:
    """Put rows into the file, in the place of older ones."""
    old = json.loads(RESULT.read_text())["rows"] if RESULT.exists() else []
    name = ("net", "goal", "pauses", "images")
    new = {tuple(row[key] for key in name): row for row in [*old, *rows]}
    order = sorted(new, key=lambda key: ([*NETS].index(key[0]), GOALS.index(key[1]), *key[2:]))
    content = {"command": command, "cores": len(os.sched_getaffinity(0)), "rows": [new[key] for key in order]}
    write_atomically(RESULT, (json.dumps(content, indent=1) + "\n").encode())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar10", required=True, help="folder of the data set")
    parser.add_argument("--mnist", required=True, help="folder of the data set")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--net", choices=NETS, action="append", help="default: all")
    parser.add_argument("--goal", choices=GOALS, action="append", help="default: all")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    differ = 0
    for net in arguments.net or NETS:
        for goal in arguments.goal or GOALS:
            rows = rows_of(net, goal, getattr(arguments, NETS[net][1]), arguments.images)
            for row in rows:
                print(line(row), flush=True)
                differ += row["mismatches"]
            if arguments.write:
                keep(rows, "python benchmarks/fpga_simulation.py --cifar10 DIR --mnist DIR --write")
    return int(differ != 0)


if __name__ == "__main__":
    sys.exit(main())
