// SPDX-License-Identifier: Apache-2.0
// Integers in more bits.
//
//   out[l] = in[l]
//
// Wires only: no latency, no register, no reset; the handshake goes through.
module extend #(
    parameter LANES = 1,
    parameter IN_BITS = 2,
    parameter IN_SIGNED = 0,
    parameter OUT_BITS = 4
) (
    input  logic                      clk,        // unused
    input  logic                      rst,        // unused
    input  logic [ LANES*IN_BITS-1:0] in_data,    // a beat, lane 0 lowest
    input  logic                      in_valid,   // the beat stands there
    output logic                      in_ready,   // it is taken at the next edge, if valid
    output logic [LANES*OUT_BITS-1:0] out_data,   // a beat, lane 0 lowest
    output logic                      out_valid,  // the beat stands there until it is taken
    input  logic                      out_ready   // the reader takes it at the next edge, if valid
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
