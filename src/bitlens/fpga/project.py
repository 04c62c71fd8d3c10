# SPDX-License-Identifier: Apache-2.0
"""The sources of a circuit in a folder: modules, memories, the top level that wires them, and their description."""

from __future__ import annotations

import os
import re
import shutil
from importlib import resources
from pathlib import Path
from typing import Any

from bitlens.core.files import write_atomically
from bitlens.fpga.memory import Memory
from bitlens.fpga.network import Element, FpgaError, Network, Stream
from bitlens.fpga.seal import damaged, read_sealed, write_sealed
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
    "window": ("tables",),
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
    write_sealed(root / "network.json", _description(network))
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
    digits = _digits(memory.width)
    return "".join(f"{word:0{digits}x}\n" for word in memory.words).encode()


def _digits(width: int) -> int:
    """Of a word of so many bits in its file."""
    return -(-width // 4)


def _description(network: Network) -> dict[str, object]:
    return {
        "name": network.name,
        "input": vars(network.input),
        "outputs": {name: vars(stream) for name, stream in network.outputs.items()},
        "wires": network.wires,
        "target": network.target,
        "elements": [
            {
                **vars(element),
                "memories": {name: [memory.depth, memory.width] for name, memory in element.memories.items()},
                "sums": None,
            }
            for element in network.elements
        ],
    }


def read_network(folder: str | os.PathLike[str]) -> Network:
    """The circuit that `write_project` has written, without the contents of its memories.

    Raises:
        FpgaError: the folder holds no such project, or a damaged one: a simulator would take zeros for words that are missing.
        OSError: a file cannot be read.
    """
    path = Path(folder) / "network.json"
    if not path.is_file():
        raise FpgaError(
            f"{folder}: folder must be one that bitlens fpga has made, not one without network.json or unit.json"
        )
    told = read_sealed(path)
    try:
        elements = [Element(**{**element, "memories": {}}) for element in told["elements"]]
        outputs = {name: _stream(stream) for name, stream in told["outputs"].items()}
        network = Network(told["name"], elements, told["wires"], _stream(told["input"]), outputs, told["target"])
    except (KeyError, TypeError, ValueError):  # of another version
        raise damaged(path) from None
    for element, description in zip(elements, told["elements"], strict=True):
        for parameter, (depth, width) in description["memories"].items():
            _check_memory(path.parent / memory_file(element, parameter), depth, width)
    return network


def _check_memory(path: Path, depth: int, width: int) -> None:
    if not path.is_file():
        raise FpgaError(f"{path}: must be there, a word of memory a line; make the project again")
    word = rb"[0-9a-fA-F]{%d}" % _digits(width)
    lines = path.read_bytes().splitlines()
    if len(lines) != depth:
        raise FpgaError(f"{path}: must hold {depth} words, a line each, not {len(lines)}; make the project again")
    for number, line in enumerate(lines, 1):
        if not re.fullmatch(word, line) or int(line, 16) >> width:
            raise FpgaError(f"{path}: line {number} must be a word of {width} bits in hex, not {_shown(line)}")


def _shown(line: bytes) -> str:
    return repr(line[:40].decode("ascii", "replace"))


def _stream(told: dict[str, Any]) -> Stream:
    return Stream(**{**told, "shape": tuple(told["shape"])})
