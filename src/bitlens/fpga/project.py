# SPDX-License-Identifier: Apache-2.0
"""The sources of a circuit in a folder: modules, memories, the top level that wires them, and their description."""

from __future__ import annotations

import json
import os
import shutil
from importlib import resources
from pathlib import Path
from typing import Any

from bitlens.core.files import write_atomically
from bitlens.fpga.memory import Memory
from bitlens.fpga.network import Element, FpgaError, Network, Stream
from bitlens.fpga.shell import SHELL_MODULES, shell
from bitlens.fpga.sums_module import sums_module
from bitlens.fpga.top import memory_file, sums_name, top_level

__all__ = ["CELLS", "RTL", "read_network", "write_project"]

_PACKAGE = resources.files("bitlens.fpga")
RTL = _PACKAGE / "rtl"
CELLS = _PACKAGE / "sim" / "cells.sv"  # what the primitives of devices do
_NEEDS = {
    "hard": ("tables", "adder", "lanes", "delay", "thresholds", "addends", "credit_queue"),
    "mvtu": ("rom", "pe", "lanes", "delay", "thresholds", "addends", "credit_queue"),
    "pe": ("dot", "delay", "digit_sum", "accumulate"),
    "digit_sum": ("leaf",),
    "bisect": ("credit_queue",),
    "steps": ("thresholds", "credit_queue"),
    "credit_queue": ("fifo",),
}
_NEEDS_OF: dict[str, dict[str, tuple[str, ...]]] = {  # by target
    "xc7": {"pe": ("ternary_xc7", "carry_xc7"), "hard": ("ternary_xc7", "carry_xc7")},
    "ecp5": {"pe": ("add_ecp5",), "hard": ("add_ecp5",)},
}


def write_project(network: Network, folder: str | os.PathLike[str]) -> Path:
    """Write `rtl/` with the modules that are used, `memory/*.hex`, `rtl/top.sv`, `rtl/accelerator.v` and `network.json`.

    Where the circuit names primitives of a device, `sim/cells.sv` says what they do.

    Returns:
        The folder.
    """
    root = Path(folder)
    for part in ("rtl", "memory", "sim"):
        shutil.rmtree(root / part, ignore_errors=True)
        (root / part).mkdir(parents=True)
    for module in sorted(_modules(network)):
        write_atomically(root / "rtl" / f"{module}.sv", (RTL / f"{module}.sv").read_bytes())
    if network.target in _NEEDS_OF:
        write_atomically(root / "sim" / "cells.sv", CELLS.read_bytes())
    for element in network.elements:
        for parameter, memory in element.memories.items():
            write_atomically(root / memory_file(element, parameter), _hex(memory))
        if element.sums is not None:
            name = sums_name(element)
            text = sums_module(name, *element.sums, network.target)
            write_atomically(root / "rtl" / f"{name}.sv", text.encode())
    write_atomically(root / "rtl" / "top.sv", top_level(network).encode())
    write_atomically(root / "rtl" / "accelerator.v", shell(network).encode())
    write_atomically(root / "network.json", json.dumps(_description(network), indent=1).encode())
    return root


def _modules(network: Network) -> set[str]:
    """All modules of a circuit but those that are written for it."""
    left, found = {element.module for element in network.elements} | {*SHELL_MODULES}, set[str]()
    while left:
        module = left.pop()
        found.add(module)
        left |= {*_NEEDS.get(module, ()), *_NEEDS_OF.get(network.target, {}).get(module, ())} - found
    return found


def _hex(memory: Memory) -> bytes:
    digits = -(-memory.width // 4)
    return "".join(f"{word:0{digits}x}\n" for word in memory.words).encode()


def _description(network: Network) -> dict[str, object]:
    return {
        "name": network.name,
        "input": vars(network.input),
        "outputs": {name: vars(stream) for name, stream in network.outputs.items()},
        "wires": network.wires,
        "target": network.target,
        "elements": [{**vars(element), "memories": [*element.memories], "sums": None} for element in network.elements],
    }


def read_network(folder: str | os.PathLike[str]) -> Network:
    """The circuit that `write_project` has written, without the contents of its memories.

    Raises:
        FpgaError: the folder holds no such project, or a damaged one.
    """
    path = Path(folder) / "network.json"
    if not path.is_file():
        raise FpgaError(f"{folder}: folder must be one that bitlens fpga has made, not one without {path.name}")
    try:
        told = json.loads(path.read_text())
        elements = [Element(**{**element, "memories": {}}) for element in told["elements"]]
        outputs = {name: _stream(stream) for name, stream in told["outputs"].items()}
        return Network(told["name"], elements, told["wires"], _stream(told["input"]), outputs, told["target"])
    except (KeyError, TypeError, ValueError):
        raise FpgaError(f"{path}: must be as bitlens fpga wrote it, not damaged; make the project again") from None


def _stream(told: dict[str, Any]) -> Stream:
    return Stream(**{**told, "shape": tuple(told["shape"])})
