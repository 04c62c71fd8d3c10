# SPDX-License-Identifier: Apache-2.0
"""The sources of a unit in a folder: its modules, a top level with its size, the memory it runs on, and their description."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict
from importlib import resources
from pathlib import Path

from bitlens.core.files import write_atomically
from bitlens.fpga.project import CELLS, RTL
from bitlens.fpga.seal import write_sealed
from bitlens.fpga.top import BODIES
from bitlens.fpga.unit.memory import to_bytes
from bitlens.fpga.unit.schedule import Schedule
from bitlens.fpga.verilog import instance, module_head

__all__ = ["UNIT_RTL", "unit_sources", "write_unit"]

UNIT_RTL = resources.files("bitlens.fpga") / "unit" / "rtl"
_OWN = (
    "unit",
    *("unit_array", "unit_collect", "unit_layer", "unit_load", "unit_loops", "unit_pe"),
    *("unit_results", "unit_rows", "unit_search", "unit_sequence"),
)
_SHARED = ("delay", "digit_sum", "fifo", "leaf")
_SHARED_OF = {"xc7": ("ternary_xc7", "carry_xc7"), "ecp5": ("add_ecp5",)}  # by target
_PORTS = (  # direction, bits (0: a word of memory), name
    ("input", 1, "go"),
    ("input", 32, "program_address"),
    ("output", 1, "done"),
    ("output", 1, "layer_done"),
    ("output", 32, "read_address"),
    ("output", 32, "read_words"),
    ("output", 1, "read_valid"),
    ("input", 1, "read_ready"),
    ("input", 0, "read_data"),
    ("input", 1, "read_data_valid"),
    ("output", 32, "write_address"),
    ("output", 32, "write_words"),
    ("output", 1, "write_valid"),
    ("input", 1, "write_ready"),
    ("output", 0, "write_data"),
    ("output", 1, "write_data_valid"),
    ("input", 1, "write_data_ready"),
)


def unit_sources(target: str = "generic") -> list[Path]:
    """The modules of a unit for a family of devices."""
    shared = (*_SHARED, *_SHARED_OF.get(target, ()))
    own = [UNIT_RTL / f"{name}.sv" for name in _OWN]
    return [Path(str(path)) for path in (*own, *(RTL / f"{name}.sv" for name in shared))]


def write_unit(schedule: Schedule, folder: str | os.PathLike[str]) -> Path:
    """Write `rtl/` with the unit's modules and `rtl/accelerator.v`, `memory.bin` and `unit.json`.

    `memory.bin` is what the unit's memory must hold from word 0: descriptors, weights, tables. `unit.json` says where the input
    goes and where the outputs come. Where the circuit names primitives of a device, `sim/cells.sv` says what they do.

    Returns:
        The folder.
    """
    root, target = Path(folder), schedule.size.target
    for part in ("rtl", "sim"):
        shutil.rmtree(root / part, ignore_errors=True)
        (root / part).mkdir(parents=True)
    for source in unit_sources(target):
        write_atomically(root / "rtl" / source.name, source.read_bytes())
    if target in _SHARED_OF:
        write_atomically(root / "sim" / "cells.sv", CELLS.read_bytes())
    write_atomically(root / "rtl" / "accelerator.v", _top(schedule).encode())
    write_atomically(root / "memory.bin", to_bytes(schedule.constants).tobytes())
    write_sealed(root / "unit.json", _description(schedule))
    return root


def _top(schedule: Schedule) -> str:
    """The module `accelerator`, in plain Verilog, which every tool takes as a top level: one instance, no logic."""
    word = 2 * schedule.size.simd
    ports = ["input wire aclk", "input wire aresetn"]
    for way, bits, name in _PORTS:
        width = bits or word
        ports.append(f"{way} wire {f'[{width - 1}:0] ' if width > 1 else ''}{name}")
    parameters: dict[str, object] = {**schedule.size.parameters, "TARGET": f'"{schedule.size.target}"'}
    lines = ["// SPDX-License-Identifier: Apache-2.0", "// Made by bitlens: the unit at the size of a program."]
    lines += module_head("accelerator", ports, BODIES)
    wires = {"clk": "aclk", "rst": "!aresetn", **{name: name for _, _, name in _PORTS}}
    lines += instance("unit", "u_unit", {**parameters, "BEHAVIOURAL": "BEHAVIOURAL"}, wires)
    return "\n".join([*lines, "endmodule", ""])


def _description(schedule: Schedule) -> dict[str, object]:
    def told(name: str) -> dict[str, object]:
        tensor = schedule.tensors[name]
        return {
            "tensor": name,
            "address": schedule.addresses[name],
            "shape": tensor.shape,
            "planes": tensor.planes,
            "lo": 0 if tensor.raw else int(tensor.grid.lo),
            "raw": tensor.raw,
        }

    return {
        "size": asdict(schedule.size),
        "word_bits": 2 * schedule.size.simd,
        "memory_words": schedule.words,
        "input": told(schedule.input),
        "outputs": {
            name: {**told(view.tensor), "shown": (view.height, view.width)} for name, view in schedule.outputs.items()
        },
        "layers": [{"name": step.layer.core.name, "nodes": step.layer.nodes, **step.fields} for step in schedule.steps],
    }
