// SPDX-License-Identifier: Apache-2.0
// One stream to two readers; a beat goes on when both have taken it.
//
//   a = in;   b = in
//
// No latency, throughput 1 beat a cycle. Reset forgets that one of them has taken the beat.
module fork2 #(
    parameter WIDTH = 8
) (
    input  logic             clk,       // rising edge
    input  logic             rst,       // synchronous, active high
    input  logic [WIDTH-1:0] in_data,   // a beat
    input  logic             in_valid,  // the beat stands there
    output logic             in_ready,  // it is taken at the next edge, if valid
    output logic [WIDTH-1:0] a_data,    // the same beat, to the first reader
    output logic             a_valid,   // the beat stands there until it is taken
    input  logic             a_ready,   // the reader takes it at the next edge, if valid
    output logic [WIDTH-1:0] b_data,    // the same beat, to the second
    output logic             b_valid,   // the beat stands there until it is taken
    input  logic             b_ready    // the reader takes it at the next edge, if valid
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
