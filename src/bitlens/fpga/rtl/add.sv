// SPDX-License-Identifier: Apache-2.0
// Sum of two streams of one shape.
//
//   out[l] = a[l] + b[l]
//
// A beat of each is taken together. Latency 1 cycle, throughput 1 beat a cycle. Reset forgets the beat that waits.
module add #(
    parameter LANES = 1,
    parameter A_BITS = 8,
    parameter A_SIGNED = 1,
    parameter B_BITS = 8,
    parameter B_SIGNED = 1,
    parameter OUT_BITS = 9
) (
    input  logic                      clk,        // rising edge
    input  logic                      rst,        // synchronous, active high
    input  logic [  LANES*A_BITS-1:0] a_data,     // a beat, lane 0 lowest
    input  logic                      a_valid,    // the beat stands there
    output logic                      a_ready,    // it is taken at the next edge, if valid
    input  logic [  LANES*B_BITS-1:0] b_data,     // a beat, lane 0 lowest
    input  logic                      b_valid,    // the beat stands there
    output logic                      b_ready,    // it is taken at the next edge, if valid
    output logic [LANES*OUT_BITS-1:0] out_data,   // a beat, lane 0 lowest
    output logic                      out_valid,  // the beat stands there until it is taken
    input  logic                      out_ready   // the reader takes it at the next edge, if valid
);
  wire step = !out_valid || out_ready;
  wire both = a_valid && b_valid;
  assign a_ready = step && b_valid;
  assign b_ready = step && a_valid;

  genvar lane;
  generate
    for (lane = 0; lane < LANES; lane = lane + 1) begin : gen_lane
      wire signed [A_BITS:0] a = {(A_SIGNED != 0) && a_data[lane*A_BITS+A_BITS-1], a_data[lane*A_BITS+:A_BITS]};
      wire signed [B_BITS:0] b = {(B_SIGNED != 0) && b_data[lane*B_BITS+B_BITS-1], b_data[lane*B_BITS+:B_BITS]};
      always_ff @(posedge clk) if (step && both) out_data[lane*OUT_BITS+:OUT_BITS] <= OUT_BITS'(a) + OUT_BITS'(b);
    end
  endgenerate

  always_ff @(posedge clk) begin
    if (rst) out_valid <= 1'b0;
    else if (step) out_valid <= both;
  end
endmodule
