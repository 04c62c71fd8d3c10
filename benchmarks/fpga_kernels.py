# SPDX-License-Identifier: Apache-2.0
"""What matrix units take of a 7-series device, an ECP5 and a Gowin: cells of Yosys for elements, constants and whole units.

    python benchmarks/fpga_kernels.py [--write]      # --write: docs/results/fpga_kernels.json

Counts are of Yosys's netlist, before any packing: every LUT1 to LUT6 and LUT6_2 is one LUT. Weights are random.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from pathlib import Path

import numpy as np

from bitlens.core.files import write_atomically
from bitlens.fpga.products import Products, pe_latency
from bitlens.fpga.project import RTL
from bitlens.fpga.sums_module import sums_module
from bitlens.fpga.synthesis import Synthesis, synthesise

RESULT = Path(__file__).parents[1] / "docs" / "results" / "fpga_kernels.json"
ELEMENTS = [(1, 1), (2, 1), (2, 2), (3, 3), (4, 4)]  # bits of number and weight, 36 products a cycle
MODULES = ("mvtu", "pe", "dot", "delay", "digit_sum", "leaf", "accumulate", "ternary_xc7", "carry_xc7", "add_ecp5")
MODULES += ("rom", "thresholds", "addends", "credit_queue", "fifo")
SUMS = ("tables", "adder", "ternary_xc7", "carry_xc7", "add_ecp5", "lanes", "delay")
UNITS = [(16, 36), (64, 36)]  # PE x SIMD at 2 x 2 bits
CONSTANTS = {"w2a2": (-3, -1, 1, 3), "three values, a2": (0, 1, 2), "ternary, a2": (-1, 0, 1), "w1a2": (-1, 1)}
Row = dict[str, str | int | float | dict[str, int]]


def main(arguments: list[str]) -> int:
    rows = []
    for family in ("xc7", "ecp5", "gowin"):
        for in_bits, weight_bits in ELEMENTS if family == "xc7" else [(1, 1), (2, 2)]:
            rows.append(_row(family, f"element w{weight_bits}a{in_bits}", "pe", 36, in_bits, weight_bits, 1))
            print(_line(rows[-1]), flush=True)
    for family in ("xc7", "ecp5", "gowin"):
        for name, values in CONSTANTS.items() if family == "xc7" else [*CONSTANTS.items()][:2]:
            rows.append(_constants(family, f"constants 64x36 {name}", values))
            print(_line(rows[-1]), flush=True)
    for pe, simd in UNITS:
        rows.append(_row("xc7", f"unit {pe}x{simd} w2a2", "mvtu", simd, 2, 2, pe))
        print(_line(rows[-1]), flush=True)
    if "--write" in arguments:
        command = "python benchmarks/fpga_kernels.py --write"
        write_atomically(RESULT, (json.dumps({"command": command, "rows": rows}, indent=1) + "\n").encode())
    return 0


def _constants(family: str, name: str, values: tuple[int, ...]) -> Row:
    """A hard-wired layer of 64 outputs and 36 inputs of 2 bits."""
    weights = np.random.default_rng(0).choice(values, (64, 36)).astype(np.int64)
    products = Products(weights, 2, False)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "sums.sv"
        file.write_text(sums_module("sums", products.hardwired(family), products, family))
        sources = [file, *(Path(str(RTL / f"{module}.sv")) for module in SUMS)]
        return _found(family, name, weights.size, synthesise(sources, "sums", family))


def _row(family: str, name: str, module: str, simd: int, in_bits: int, weight_bits: int, pe: int) -> Row:
    latency = pe_latency(simd, in_bits, weight_bits, family)
    parameters: dict[str, int | str] = {"SIMD": simd, "IN_BITS": in_bits, "WEIGHT_BITS": weight_bits, "ODD": 1}
    parameters |= {"ACC_BITS": 2 * max(in_bits, weight_bits) + 8, "TARGET": family}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if module == "pe":
            parameters |= {"LATENCY": latency}
        else:
            folds = {"IN_FOLDS": 64, "OUT_FOLDS": 8}  # the depth of a block RAM at its widest
            parameters |= {**folds, "PE": pe, "LEVELS": 3, "PE_LATENCY": latency}
            parameters |= {"WEIGHTS": "weights.hex", "TABLE": "table.hex"}
            _random_words(folder / "weights.hex", 512, pe * simd * weight_bits)
            _random_words(folder / "table.hex", 8, pe * (3 * int(parameters["ACC_BITS"]) + 4 * 2))
        sources = [Path(str(RTL / f"{name}.sv")) for name in MODULES]
        found = synthesise(sources, module, family, parameters=parameters, folder=folder)
    return _found(family, name, pe * simd, found)


def _found(family: str, name: str, products: int, found: Synthesis) -> Row:
    return {
        "family": family,
        "name": name,
        "macs_per_cycle": products,
        "luts": found.cost.lut,
        "luts_per_mac": round(found.cost.lut / products, 2),
        "flip_flops": found.cost.ff,
        "brams": found.cost.bram,
        "cells": {cell: number for cell, number in sorted(found.cells.items()) if not cell.startswith("$")},
        "yosys": found.version,
    }


def _random_words(path: Path, depth: int, bits: int) -> None:
    source = random.Random(0)
    path.write_text("".join(f"{source.getrandbits(bits):x}\n" for _ in range(depth)))


def _line(row: Row) -> str:
    return (
        f"{row['family']:6} {row['name']:34} {row['luts']:>7} LUT {row['luts_per_mac']:>6} a MAC {row['brams']:>6} BRAM"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
