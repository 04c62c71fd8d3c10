// SPDX-License-Identifier: Apache-2.0
// Channels of two streams one after the other: A_FOLDS beats of a, then B_FOLDS beats of b, for every pixel.
//
//   out beat i of a pixel = i < A_FOLDS ? a beat i : b beat (i - A_FOLDS)
//
// Both streams have one width of beats. No latency, throughput 1 beat a cycle. Reset begins a pixel with a's first beat.
module concat2 #(
    parameter WIDTH = 8,
    parameter A_FOLDS = 1,
    parameter B_FOLDS = 1
) (
    input  logic             clk,        // rising edge
    input  logic             rst,        // synchronous, active high
    input  logic [WIDTH-1:0] a_data,     // a beat of the first channels
    input  logic             a_valid,    // the beat stands there
    output logic             a_ready,    // it is taken at the next edge, if valid
    input  logic [WIDTH-1:0] b_data,     // a beat of the last channels
    input  logic             b_valid,    // the beat stands there
    output logic             b_ready,    // it is taken at the next edge, if valid
    output logic [WIDTH-1:0] out_data,   // a beat of either
    output logic             out_valid,  // the beat stands there until it is taken
    input  logic             out_ready   // the reader takes it at the next edge, if valid
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
