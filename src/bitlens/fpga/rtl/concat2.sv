// SPDX-License-Identifier: Apache-2.0
// Channels of two streams one after the other: A_FOLDS beats of a, then B_FOLDS beats of b, for every pixel.
// No latency, 1 beat a cycle. Both streams have one width of beats.
module concat2 #(
    parameter WIDTH = 8,
    parameter A_FOLDS = 1,
    parameter B_FOLDS = 1
) (
    input  logic             clk,
    input  logic             rst,
    input  logic [WIDTH-1:0] a_data,
    input  logic             a_valid,
    output logic             a_ready,
    input  logic [WIDTH-1:0] b_data,
    input  logic             b_valid,
    output logic             b_ready,
    output logic [WIDTH-1:0] out_data,
    output logic             out_valid,
    input  logic             out_ready
);
  localparam FOLD = $clog2(A_FOLDS + B_FOLDS);
  logic [FOLD-1:0] fold;
  wire from_a = fold < FOLD'(A_FOLDS);
  assign out_data  = from_a ? a_data : b_data;
  assign out_valid = from_a ? a_valid : b_valid;
  assign a_ready   = from_a && out_ready;
  assign b_ready   = !from_a && out_ready;
  always_ff @(posedge clk) begin
    if (rst) fold <= '0;
    else if (out_valid && out_ready) fold <= fold == FOLD'(A_FOLDS + B_FOLDS - 1) ? '0 : fold + 1'b1;
  end
endmodule
