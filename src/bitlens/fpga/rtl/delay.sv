// SPDX-License-Identifier: Apache-2.0
// The same, CYCLES later.
//
//   out = in, CYCLES cycles ago
//
// CYCLES at least 1. Throughput 1 a cycle; no reset: what comes out in the first CYCLES cycles means nothing.
module delay #(
    parameter WIDTH = 1,
    parameter CYCLES = 1
) (
    input  logic             clk,
    input  logic [WIDTH-1:0] in,
    output logic [WIDTH-1:0] out
);
  logic [CYCLES*WIDTH-1:0] line;
  always_ff @(posedge clk) line <= (CYCLES * WIDTH)'({line, in});
  assign out = line[(CYCLES-1)*WIDTH+:WIDTH];
endmodule
