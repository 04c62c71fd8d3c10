# SPDX-License-Identifier: Apache-2.0
"""Cells of modules as Yosys makes them, many in one run, beside what the estimator says.

python tests/netlists.py 60 1            60 new points of seed 1 for xc7, with the errors; fails where one is too large
python tests/netlists.py 60 1 ecp5       the same for ECP5

Yosys gets ten points a run: some seconds each.
"""

import json
import random
import shutil
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

from bitlens.fpga.cost import Cost
from bitlens.fpga.devices import load_device
from bitlens.fpga.estimate import element_cost
from bitlens.fpga.network import Element
from bitlens.fpga.products import pe_latency
from bitlens.fpga.synthesis import SCRIPTS, count_cells, find_yosys

_NAMES = {"xc7": "xc7z030", "ecp5": "lfe5u-85f", "gowin": "gw2a-18", "ice40": "ice40up5k"}
DEVICES = {family: load_device(name) for family, name in _NAMES.items()}
Point = tuple[str, dict[str, int], dict[str, str]]  # module, parameters, parameters that are words


def estimated(point: Point, family: str = "xc7") -> Cost:
    """What the formula says."""
    module, parameters, modes = point
    return element_cost(Element("x", module, parameters, {}, {}, modes=modes), DEVICES[family])


def close(found: Cost, said: Cost) -> bool:
    """Lookup tables within 10 % or 15 of them, block RAMs the same."""
    return abs(said.lut - found.lut) <= max(0.1 * found.lut, 15) and said.bram == found.bram


def synthesised(points: list[Point], family: str = "xc7") -> list[Cost]:
    """Cells of modules, each with all below it; ROMs hold random words."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        package = resources.files("bitlens.fpga")
        for file in (*(package / "rtl").iterdir(), package / "synth" / "ebr_output_register.v"):
            shutil.copy(str(file), work)
        lines = ["module top;", *(f"  (* keep *) w{i} i{i} ();" for i in range(len(points))), "endmodule"]
        for i, (module, parameters, modes) in enumerate(points):
            words: dict[str, Any] = dict(parameters)
            words |= {name: f'"{value}"' for name, value in modes.items()}
            for name, depth, width in _roms(module, parameters):
                numbers = random.Random(f"{i}{name}")
                ones = module == "rescale" and parameters["MULTIPLIER_BITS"] == 2  # what only clamps
                text = "".join(f"{1 if ones else numbers.getrandbits(width):x}\n" for _ in range(depth))
                (work / f"{i}{name}.hex").write_text(text)
                parameter, _, several = name.partition(".")
                words[parameter] = f'"{i}{parameter}"' if several else f'"{i}{name}.hex"'
            given = ", ".join(f".{name}({value})" for name, value in words.items())
            lines.append(f"(* keep_hierarchy *) module w{i}; (* keep *) {module} #({given}) u (); endmodule")
        (work / "top.sv").write_text("\n".join(lines))
        sources = " ".join(sorted(file.name for file in work.glob("*.*v")))
        script = f"read_verilog -defer -sv {sources}\nhierarchy -top top\nsetattr -mod -set keep_hierarchy 1 *\n"
        script += f"{SCRIPTS[family]} -top top\ntee -q -o cells.json stat -json\n"
        (work / "script.ys").write_text(script)
        subprocess.run([find_yosys(), "-q", "-s", "script.ys"], cwd=work, check=True, capture_output=True)
        modules = json.loads((work / "cells.json").read_text())["modules"]
    found = {name.lstrip("\\"): module["num_cells_by_type"] for name, module in modules.items()}

    def total(name: str) -> dict[str, int]:
        cells: dict[str, int] = {}
        for cell, count in found[name].items():
            cell = cell.lstrip("\\")
            below = total(cell) if cell in found else {cell: 1}
            for each, several in below.items():
                cells[each] = cells.get(each, 0) + several * count
        return cells

    return [count_cells(total(f"w{i}")) for i in range(len(points))]


def _roms(module: str, p: dict[str, int]) -> list[tuple[str, int, int]]:
    """Parameter, words and bits of a word."""
    if module == "rescale":
        return [("TABLE", p["ROWS"], p["LANES"] * (p["MULTIPLIER_BITS"] + p["ADDEND_BITS"]))]
    if module == "bisect":
        stages = [(stage, p["IN_BITS"]) for stage in range(p["STAGES"])]
        stages += [] if p["COUNTS"] else [(p["STAGES"], p["OUT_BITS"])]
        return [
            (f"TABLE.{lane:02}.{stage:02}", p["ROWS"] << stage, bits)
            for lane in range(p["LANES"])
            for stage, bits in stages
        ]
    if module != "mvtu":
        return []
    lane = p["LEVELS"] * p["ACC_BITS"] + (p["LEVELS"] + 1) * p["OUT_BITS"] if p["LEVELS"] else p["OUT_BITS"]
    word = p["PE"] * p["SIMD"] * p["WEIGHT_BITS"]
    return [("WEIGHTS", p["IN_FOLDS"] * p["OUT_FOLDS"], word), ("TABLE", p["OUT_FOLDS"], p["PE"] * lane)]


def window(size: tuple[int, int], folds: int, beat: int, kernel: int, stride: int, pad: int, column: int) -> Point:
    """A window unit over an image."""
    out = [(side + 2 * pad - kernel) // stride + 1 for side in size]
    parameters = {
        "HEIGHT": size[0],
        "WIDTH": size[1],
        "FOLDS": folds,
        "BEAT": beat,
        "KERNEL_H": kernel,
        "KERNEL_W": kernel,
    }
    parameters |= {
        "STRIDE_H": stride,
        "STRIDE_W": stride,
        "DILATION_H": 1,
        "DILATION_W": 1,
        "PAD_TOP": pad,
        "PAD_LEFT": pad,
    }
    parameters |= {"OUT_HEIGHT": out[0], "OUT_WIDTH": out[1], "ROWS": kernel + stride, "COLUMN": column, "FILL": 0}
    return "window", parameters, {}


def unit(inner: int, outer: int, simd: int, pe: int, bits: tuple[int, int], total: int, family: str = "xc7") -> Point:
    """A matrix unit with 3 breakpoints; bits of an input and of a weight."""
    parameters = {"IN_FOLDS": inner, "OUT_FOLDS": outer, "SIMD": simd, "PE": pe, "IN_BITS": bits[0], "IN_SIGNED": 0}
    parameters |= {"WEIGHT_BITS": bits[1], "ODD": 1, "START": -5, "ACC_BITS": total, "LEVELS": 3, "OUT_BITS": 2}
    parameters["PE_LATENCY"] = pe_latency(simd, bits[0], bits[1], family)
    return "mvtu", parameters, {"KERNEL": "fold", "TARGET": family}


def random_points(count: int, seed: int, family: str) -> list[Point]:
    """New points of the modules that make up most of a circuit."""
    r, points = random.Random(seed), []
    for _ in range(count):
        kind = r.choice(["window", "unit", "fifo", "narrow"])
        if kind == "window":
            size = r.choice([8, 16, 24, 40, 64]), r.choice([8, 16, 24, 40, 64])
            points.append(
                window(
                    size,
                    r.choice([1, 2, 4]),
                    r.choice([8, 16, 32, 64]),
                    r.choice([3, 5]),
                    r.choice([1, 2]),
                    1,
                    r.choice([0, 1]),
                )
            )
        elif kind == "unit":
            inner, outer, simd = r.choice([9, 12, 18]), r.choice([2, 4, 8]), r.choice([8, 16, 24, 32])
            points.append(
                unit(inner, outer, simd, r.choice([1, 2, 4]), (2, r.choice([1, 2])), r.choice([10, 12, 14]), family)
            )
        elif kind == "fifo":
            points.append(
                ("fifo", {"WIDTH": r.choice([4, 16, 40, 72]), "DEPTH": r.choice([2, 5, 12, 40, 300, 900])}, {})
            )
        else:
            points.append(("narrow", {"WIDTH": r.choice([3, 12, 40]), "FACTOR": r.choice([2, 5, 6, 16])}, {}))
    return points


if __name__ == "__main__":
    family = sys.argv[3] if len(sys.argv) > 3 else "xc7"
    several = random_points(int(sys.argv[1]), int(sys.argv[2]), family)
    bad = 0
    for first in range(0, len(several), 10):
        ten = several[first : first + 10]
        for one, cells in zip(ten, synthesised(ten, family), strict=True):
            say = estimated(one, family)
            bad += not close(cells, say)
            print(
                f"{'' if close(cells, say) else 'FAR '}{one[0]:8} LUT {cells.lut:6} said {say.lut:6}  FF {cells.ff:6} {say.ff:6}"
                f"  BRAM {cells.bram:5} {say.bram:5}  {one[1]}",
                flush=True,
            )
    sys.exit(f"{bad} of {len(several)} points are not within 10 %" if bad else 0)
