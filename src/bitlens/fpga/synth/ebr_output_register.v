// SPDX-License-Identifier: Apache-2.0
// For Yosys: the register of rom.sv is the block RAM's own, so here is but a wire. Never without, after synth_ecp5 -noflatten,
//   setparam -set REGMODE_A "OUTREG" -set REGMODE_B "OUTREG" */t:*ebr_output_register* %m */t:DP16KD %i
module ebr_output_register #(
    parameter WIDTH = 8
) (
    input              clk,
    input  [WIDTH-1:0] in,
    output [WIDTH-1:0] out
);
  assign out = in;
endmodule
