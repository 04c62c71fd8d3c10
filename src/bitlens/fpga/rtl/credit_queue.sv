// SPDX-License-Identifier: Apache-2.0
// A queue behind a pipeline that cannot wait: work enters the pipeline only if the queue has room for its result.
//
//   out = results, in order
//
// Whoever starts work when `may_start` is high and then says `start` takes a credit; a result that leaves gives it back. So the
// pipeline needs no enable, and no result ever finds the queue full. DEPTH of (cycles from start to result) / (cycles between
// starts) + 2 never slows the pipeline down. Latency 1 cycle from a result to `out`, throughput 1 a cycle. Reset empties it and
// gives all credits back: reset the pipeline with it.
module credit_queue #(
    parameter WIDTH = 8,  // bits of a result
    parameter DEPTH = 2   // results, at least 2
) (
    input  logic             clk,
    input  logic             rst,           // synchronous, active high
    output logic             may_start,     // there is a credit: a register, for it decides much in its cycle
    input  logic             start,         // only when may_start
    input  logic [WIDTH-1:0] result,
    input  logic             result_valid,
    output logic [WIDTH-1:0] out_data,
    output logic             out_valid,
    input  logic             out_ready
);
  localparam CREDIT = $clog2(DEPTH + 1);
  logic [CREDIT-1:0] credits;
  wire leaves = out_valid && out_ready;
  always_ff @(posedge clk) begin
    if (rst) begin
      credits   <= CREDIT'(DEPTH);
      may_start <= 1'b1;
    end else if (start && !leaves) begin
      credits   <= credits - 1'b1;
      may_start <= credits != CREDIT'(1);
    end else if (leaves && !start) begin
      credits   <= credits + 1'b1;
      may_start <= 1'b1;
    end
  end

  wire room;  // always, by the credits
  wire unused = &{1'b0, room};
  fifo #(
      .WIDTH(WIDTH),
      .DEPTH(DEPTH)
  ) u_fifo (
      .clk(clk),
      .rst(rst),
      .in_data(result),
      .in_valid(result_valid),
      .in_ready(room),
      .out_data(out_data),
      .out_valid(out_valid),
      .out_ready(out_ready)
  );
endmodule
