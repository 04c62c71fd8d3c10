// SPDX-License-Identifier: Apache-2.0
// Joins FACTOR words to one, the first lowest.
//
//   out[i*WIDTH +: WIDTH] = in word i
//
// Latency 1 cycle after the last word, throughput 1 word in a cycle. Reset forgets a word that is not whole.
module widen #(
    parameter WIDTH  = 8,  // bits of a word that comes in
    parameter FACTOR = 2   // at least 2
) (
    input  logic                    clk,
    input  logic                    rst,        // synchronous, active high
    input  logic [       WIDTH-1:0] in_data,
    input  logic                    in_valid,
    output logic                    in_ready,
    output logic [FACTOR*WIDTH-1:0] out_data,
    output logic                    out_valid,
    input  logic                    out_ready
);
  localparam PLACE = $clog2(FACTOR);
  localparam [PLACE-1:0] LAST = PLACE'(FACTOR - 1);

  logic [PLACE-1:0] place;

  assign in_ready = !out_valid || out_ready;

  always_ff @(posedge clk) begin
    if (in_valid && in_ready) out_data <= {in_data, out_data[FACTOR*WIDTH-1:WIDTH]};
    if (rst) begin
      place <= '0;
      out_valid <= 1'b0;
    end else begin
      if (out_ready) out_valid <= 1'b0;
      if (in_valid && in_ready) begin
        place <= place == LAST ? '0 : place + 1'b1;
        out_valid <= place == LAST;
      end
    end
  end
endmodule
