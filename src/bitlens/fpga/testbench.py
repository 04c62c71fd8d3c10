# SPDX-License-Identifier: Apache-2.0
"""A testbench that checks itself: images in, every beat out compared with golden's, with pauses on both sides if asked.

bash testbench/run.sh                 # Verilator
bash testbench/run.sh iverilog 50     # Icarus Verilog, both sides pause half of the time
bash testbench/run.sh iverilog 0 structural    # the bodies that synthesis takes
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import indent

import numpy as np
import numpy.typing as npt

from bitlens.core.files import write_atomically
from bitlens.fpga.find_tool import find_tool
from bitlens.fpga.network import Network, Stream
from bitlens.fpga.shell import container_bits, edge_bytes
from bitlens.fpga.verilog import instance

__all__ = ["write_testbench"]

IntArray = npt.NDArray[np.int64]

_UNUSED = {"awready": 1, "wready": 1, "bresp": 2, "bvalid": 1, "arready": 1, "rresp": 2}  # outputs and their bits

_RUN = f"""#!/usr/bin/env bash
# Run the testbench: run.sh [verilator|iverilog] [pauses in percent] [behavioural|structural]
# structural: the bodies that synthesis takes, with the device's primitives where sim/ has them; slow to build and to run.
set -euo pipefail
shopt -s nullglob
cd "$(dirname "$0")/.."
mkdir -p build
sources=(testbench/testbench.sv rtl/*.sv rtl/accelerator.v sim/*.sv)
case "${{3:-behavioural}}" in
behavioural) behavioural=1 ;;
structural) behavioural=0 ;;
*)
  echo "run.sh: bodies must be behavioural or structural, not $3" >&2
  exit 2
  ;;
esac
case "${{1:-verilator}}" in
verilator)
{indent(find_tool("verilator", "run.sh"), "  ")}
  "$tool" --binary --timing -O3 -Wno-fatal -Wno-lint --top-module testbench --Mdir build/testbench \\
    -CFLAGS "-std=gnu++20 -fcoroutines" -MAKEFLAGS "VM_PARALLEL_BUILDS=0 OPT_FAST=-O1 OPT_GLOBAL=-O0" \\
    "-GBEHAVIOURAL=$behavioural" "${{sources[@]}}"
  build/testbench/Vtestbench "+pauses=${{2:-0}}"
  ;;
iverilog)
{indent(find_tool("iverilog", "run.sh"), "  ")}
  "$tool" -g2012 -s testbench "-Ptestbench.BEHAVIOURAL=$behavioural" -o build/testbench.vvp "${{sources[@]}}"
  vvp -n build/testbench.vvp "+pauses=${{2:-0}}"
  ;;
*)
  echo "run.sh: simulator must be verilator or iverilog, not $1" >&2
  exit 2
  ;;
esac
"""


def write_testbench(network: Network, images: IntArray, outputs: Mapping[str, IntArray], folder: Path) -> None:
    """Write `testbench/`: the module, stimulus and expected beats as hex files, and how to run it.

    Args:
        network: the circuit.
        images: (N, H, W, C) integers of its input.
        outputs: (N, H, W, C) by name, what golden gives.
        folder: of the project.
    """
    root = folder / "testbench"
    root.mkdir()
    write_atomically(root / "stimulus.hex", _hex(images, network.input))
    for place, (name, stream) in enumerate(network.outputs.items()):
        write_atomically(root / f"expected{place}.hex", _hex(outputs[name], stream))
    write_atomically(root / "testbench.sv", _module(network, len(images)).encode())
    write_atomically(root / "run.sh", _RUN.encode())


def _hex(array: IntArray, stream: Stream) -> bytes:
    """A beat at the accelerator's edge a line, the first lane lowest."""
    container = container_bits(stream)
    lanes = np.asarray(array, np.int64).reshape(-1, stream.lanes).astype(f"<i{container // 8}")
    return "".join(f"{beat.tobytes()[::-1].hex()}\n" for beat in lanes).encode()


def _module(network: Network, images: int) -> str:
    entry = network.input
    exits = list(network.outputs.values())
    ports = {"aclk": "clk", "aresetn": "resetn"}
    ports |= {f"s_axis_t{end}": f"s_{end}" for end in ("data", "valid", "ready", "last")}
    for place in range(len(exits)):
        ports |= {f"m{place}_axis_t{end}": f"m{place}_{end}" for end in ("data", "valid", "ready", "last")}
    ports |= {f"s_axil_{name}": "1'b0" for name in ("awvalid", "wvalid")} | {
        "s_axil_bready": "1'b1",
        "s_axil_rready": "1'b1",
    }
    ports |= {"s_axil_awaddr": "5'd0", "s_axil_wdata": "32'd0", "s_axil_wstrb": "4'd0", "s_axil_araddr": "5'h14"}
    ports |= {f"s_axil_{name}": name for name in ("arvalid", "rvalid", "rdata")}
    ports |= {f"s_axil_{name}": f"unused_{name}" for name in _UNUSED}
    slow = sum(element.cycles for element in network.elements) + images * network.bottleneck.cycles
    lines = [
        "// SPDX-License-Identifier: Apache-2.0",
        f"// Made by bitlens: sends {images} images, compares every beat that comes out. +pauses=P: both sides pause P percent",
        "// of the cycles. Run from the project's folder, by testbench/run.sh.",
        "module testbench #(",
        "    parameter BEHAVIOURAL = 1  // 0: the bodies that synthesis takes, with the primitives of sim/",
        ");",
        "  logic clk, resetn;",
        "  always #1 clk = !clk;",
        "  integer pauses, cycles;",
        f"  localparam integer MOST = 100000 + 400 * {slow};",
        "  wire done;",
        "",
        f"  localparam integer BEATS = {images * entry.beats};",
        f"  reg [{8 * edge_bytes(entry) - 1}:0] stimulus[0:BEATS-1];",
        "  integer sent;",
        f"  wire [{8 * edge_bytes(entry) - 1}:0] s_data = stimulus[sent<BEATS?sent : BEATS-1];",
        f"  wire s_last = sent % {entry.beats} == {entry.beats - 1};",
        "  logic s_valid;",
        "  wire s_ready;",
        "  logic arvalid;  // reads the number of images that went out",
        "  wire rvalid;",
        "  wire [31:0] rdata;",
        *(f"  wire {f'[{bits - 1}:0] ' if bits > 1 else ''}unused_{name};" for name, bits in _UNUSED.items()),
        "  always @(posedge clk)",
        "    if (!resetn) begin",
        "      sent <= 0;",
        "      s_valid <= 1'b0;",
        "    end else begin",
        "      if (s_valid && s_ready) sent <= sent + 1;",
        "      if (!s_valid || s_ready) s_valid <= sent + (s_valid ? 1 : 0) < BEATS && ($urandom % 100) >= pauses;",
        "    end",
    ]
    for place, stream in enumerate(exits):
        lines += _checker(place, stream, images)
    lines += [
        "",
        f"  assign done = {' && '.join(f'got{place} == BEATS{place}' for place in range(len(exits)))};",
        f"  wire [31:0] faults = {' + '.join(f'faults{place}' for place in range(len(exits)))};",
        *instance("accelerator", "u_accelerator", {"BEHAVIOURAL": "BEHAVIOURAL"}, ports),
        "",
        "  initial begin",
        "    clk = 1'b0;",
        "    resetn = 1'b0;",
        "    cycles = 0;",
        "    arvalid = 1'b0;",
        '    if ($value$plusargs("pauses=%d", pauses) == 0) pauses = 0;',
        '    $readmemh("testbench/stimulus.hex", stimulus);',
        *(f'    $readmemh("testbench/expected{place}.hex", expected{place});' for place in range(len(exits))),
        "    repeat (8) @(negedge clk);  // what this block drives changes between two rising edges",
        "    resetn = 1'b1;",
        "    while (!done && cycles < MOST) begin",
        "      @(negedge clk);",
        "      cycles = cycles + 1;",
        "    end",
        '    if (!done) $fatal(1, "FAIL: the circuit stands still");',
        "    repeat (4) @(negedge clk);",
        "    arvalid = 1'b1;",
        "    while (!rvalid) @(negedge clk);",
        '    if (faults != 0) $fatal(1, "FAIL: %0d beats differ", faults);',
        f'    if (rdata != {images}) $fatal(1, "FAIL: the status block counts %0d images, not {images}", rdata);',
        f'    $display("PASS: {images} images, every beat as golden, %0d cycles", cycles);',
        "    $finish;",
        "  end",
        "endmodule",
        "",
    ]
    return "\n".join(lines)


def _checker(place: int, stream: Stream, images: int) -> list[str]:
    width, m, expected = 8 * edge_bytes(stream) - 1, f"m{place}", f"expected{place}[got{place}]"
    return [
        "",
        f"  localparam integer BEATS{place} = {images * stream.beats};",
        f"  reg [{width}:0] expected{place}[0:BEATS{place}-1];",
        f"  integer got{place}, faults{place};",
        f"  wire [{width}:0] {m}_data;",
        f"  wire {m}_valid, {m}_last;",
        f"  logic {m}_ready;",
        "  always @(posedge clk)",
        "    if (!resetn) begin",
        f"      got{place} <= 0;",
        f"      faults{place} <= 0;",
        f"      {m}_ready <= 1'b0;",
        "    end else begin",
        f"      {m}_ready <= ($urandom % 100) >= pauses;",
        f"      if ({m}_valid && {m}_ready) begin",
        f"        if ({m}_data !== {expected} || {m}_last !== (got{place} % {stream.beats} == {stream.beats - 1})) begin",
        f"          if (faults{place} < 10)",
        f'            $display("m{place}_axis beat %0d: must be %h, not %h", got{place}, {expected}, {m}_data);',
        f"          faults{place} <= faults{place} + 1;",
        "        end",
        f"        got{place} <= got{place} + 1;",
        "      end",
        "    end",
    ]
