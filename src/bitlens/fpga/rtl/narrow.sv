// SPDX-License-Identifier: Apache-2.0
// Cuts a word into FACTOR parts, the lowest first.
//
//   out word i = in[i*WIDTH +: WIDTH]
//
// Latency 1 cycle, throughput 1 word out a cycle. Reset forgets the rest of a word.
module narrow #(
    parameter WIDTH  = 8,  // bits of a word that goes out
    parameter FACTOR = 2   // at least 2
) (
    input  logic                    clk,
    input  logic                    rst,        // synchronous, active high
    input  logic [FACTOR*WIDTH-1:0] in_data,
    input  logic                    in_valid,
    output logic                    in_ready,
    output logic [       WIDTH-1:0] out_data,
    output logic                    out_valid,
    input  logic                    out_ready
);
  localparam PLACE = $clog2(FACTOR);
  localparam [PLACE-1:0] LAST = PLACE'(FACTOR - 1);

  logic [FACTOR*WIDTH-1:0] rest;
  logic [PLACE-1:0] place;

  assign in_ready = !out_valid || (out_ready && place == LAST);
  assign out_data = rest[WIDTH-1:0];

  always_ff @(posedge clk) begin
    if (in_valid && in_ready) rest <= in_data;
    else if (out_valid && out_ready) rest <= rest >> WIDTH;
    if (rst) begin
      place <= '0;
      out_valid <= 1'b0;
    end else begin
      if (out_valid && out_ready) begin
        place <= place == LAST ? '0 : place + 1'b1;
        if (place == LAST) out_valid <= 1'b0;
      end
      if (in_valid && in_ready) out_valid <= 1'b1;
    end
  end
endmodule
