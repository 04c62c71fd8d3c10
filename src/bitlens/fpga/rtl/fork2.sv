// SPDX-License-Identifier: Apache-2.0
// One stream to two readers; a beat goes on when both have taken it. No latency, 1 beat a cycle.
//
//   a = in;   b = in
module fork2 #(
    parameter WIDTH = 8
) (
    input  logic             clk,
    input  logic             rst,
    input  logic [WIDTH-1:0] in_data,
    input  logic             in_valid,
    output logic             in_ready,
    output logic [WIDTH-1:0] a_data,
    output logic             a_valid,
    input  logic             a_ready,
    output logic [WIDTH-1:0] b_data,
    output logic             b_valid,
    input  logic             b_ready
);
  logic a_done, b_done;  // has taken the beat that still stands
  assign a_data   = in_data;
  assign b_data   = in_data;
  assign a_valid  = in_valid && !a_done;
  assign b_valid  = in_valid && !b_done;
  assign in_ready = (a_done || a_ready) && (b_done || b_ready);
  always_ff @(posedge clk) begin
    if (rst || (in_valid && in_ready)) begin
      a_done <= 1'b0;
      b_done <= 1'b0;
    end else begin
      if (a_valid && a_ready) a_done <= 1'b1;
      if (b_valid && b_ready) b_done <= 1'b1;
    end
  end
endmodule
