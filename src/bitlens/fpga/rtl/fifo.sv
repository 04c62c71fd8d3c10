// SPDX-License-Identifier: Apache-2.0
// A queue of DEPTH words.
//
//   out = in, in order
//
// Latency 1 cycle, throughput 1 word a cycle. Reset empties it. `in_ready` does not depend on `out_ready`, so a FIFO also cuts
// the path of the handshake.
module fifo #(
    parameter WIDTH = 8,  // bits of a word
    parameter DEPTH = 2   // words, at least 2
) (
    input  logic             clk,
    input  logic             rst,        // synchronous, active high
    input  logic [WIDTH-1:0] in_data,
    input  logic             in_valid,
    output logic             in_ready,
    output logic [WIDTH-1:0] out_data,
    output logic             out_valid,
    input  logic             out_ready
);
  localparam PLACE = $clog2(DEPTH);
  localparam [PLACE-1:0] LAST = PLACE'(DEPTH - 1);

  logic [WIDTH-1:0] words[0:DEPTH-1];
  logic [PLACE-1:0] head, tail;  // next to read, next to write
  logic [PLACE:0] count;

  wire push = in_valid && in_ready;
  wire pop = out_valid && out_ready;

  wire full  /* verilator public_flat_rd */;  // simulations name the queues that hold up a circuit
  assign full = count == (PLACE + 1)'(DEPTH);
  assign in_ready  = !full;
  assign out_valid = count != '0;
  assign out_data  = words[head];

  always_ff @(posedge clk) begin
    if (push) words[tail] <= in_data;
    if (rst) begin
      head  <= '0;
      tail  <= '0;
      count <= '0;
    end else begin
      if (push) tail <= tail == LAST ? '0 : tail + 1'b1;
      if (pop) head <= head == LAST ? '0 : head + 1'b1;
      if (push && !pop) count <= count + 1'b1;
      if (pop && !push) count <= count - 1'b1;
    end
  end
endmodule
