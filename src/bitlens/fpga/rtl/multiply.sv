// SPDX-License-Identifier: Apache-2.0
// Product of two streams of one shape. Latency 1 cycle, 1 beat a cycle; reset forgets the beat that waits.
//
//   out[l] = a[l] * b[l]
module multiply #(
    parameter LANES = 1,
    parameter A_BITS = 8,
    parameter A_SIGNED = 1,
    parameter B_BITS = 8,
    parameter B_SIGNED = 1,
    parameter OUT_BITS = 16
) (
    input  logic                      clk,
    input  logic                      rst,        // synchronous, active high
    input  logic [  LANES*A_BITS-1:0] a_data,
    input  logic                      a_valid,
    output logic                      a_ready,
    input  logic [  LANES*B_BITS-1:0] b_data,
    input  logic                      b_valid,
    output logic                      b_ready,
    output logic [LANES*OUT_BITS-1:0] out_data,
    output logic                      out_valid,
    input  logic                      out_ready
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
      always_ff @(posedge clk) if (step && both) out_data[lane*OUT_BITS+:OUT_BITS] <= OUT_BITS'(a) * OUT_BITS'(b);
    end
  endgenerate

  always_ff @(posedge clk) begin
    if (rst) out_valid <= 1'b0;
    else if (step) out_valid <= both;
  end
endmodule
