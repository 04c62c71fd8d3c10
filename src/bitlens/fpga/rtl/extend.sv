// SPDX-License-Identifier: Apache-2.0
// Integers in more bits, without a clock.
//
//   out[l] = in[l]
module extend #(
    parameter LANES = 1,
    parameter IN_BITS = 2,
    parameter IN_SIGNED = 0,
    parameter OUT_BITS = 4
) (
    input  logic                      clk,
    input  logic                      rst,
    input  logic [ LANES*IN_BITS-1:0] in_data,
    input  logic                      in_valid,
    output logic                      in_ready,
    output logic [LANES*OUT_BITS-1:0] out_data,
    output logic                      out_valid,
    input  logic                      out_ready
);
  wire unused = &{1'b0, clk, rst};
  assign in_ready  = out_ready;
  assign out_valid = in_valid;
  genvar lane;
  generate
    for (lane = 0; lane < LANES; lane = lane + 1) begin : gen_lane
      wire sign = (IN_SIGNED != 0) && in_data[lane*IN_BITS+IN_BITS-1];
      assign out_data[lane*OUT_BITS+:OUT_BITS] = {{(OUT_BITS - IN_BITS) {sign}}, in_data[lane*IN_BITS+:IN_BITS]};
    end
  endgenerate
endmodule
