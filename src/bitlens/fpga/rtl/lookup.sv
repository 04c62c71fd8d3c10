// SPDX-License-Identifier: Apache-2.0
// A row of a table for every integer that comes in.
//
//   for fold:  out = TABLE[in * FOLDS + fold]
//
// Latency 2 cycles, throughput 1 beat out a cycle, FOLDS beats a row. Reset forgets the row in progress.
module lookup #(
    parameter IN_BITS = 8,
    parameter ROWS = 256,
    parameter FOLDS = 1,
    parameter BEAT = 8,  // bits that go out
    parameter TABLE = ""  // word of (row, fold)
) (
    input  logic               clk,
    input  logic               rst,        // synchronous, active high
    input  logic [IN_BITS-1:0] in_data,    // unsigned, below ROWS
    input  logic               in_valid,
    output logic               in_ready,
    output logic [   BEAT-1:0] out_data,
    output logic               out_valid,
    input  logic               out_ready
);
  localparam DEPTH = ROWS * FOLDS;
  localparam ADDRESS = $clog2(DEPTH) > 0 ? $clog2(DEPTH) : 1;
  localparam WIDE = ADDRESS > IN_BITS ? ADDRESS : IN_BITS;
  localparam FOLD = $clog2(FOLDS) > 0 ? $clog2(FOLDS) : 1;

  logic [BEAT-1:0] rom[0:DEPTH-1];
  generate
    if (TABLE != "") begin : gen_contents
      initial $readmemh(TABLE, rom);
    end
  endgenerate

  // one enable: the stages move together
  wire step = !out_valid || out_ready;
  logic [FOLD-1:0] fold;
  wire fold_end = fold == FOLD'(FOLDS - 1);
  assign in_ready = step && fold_end;

  wire [WIDE-1:0] place = WIDE'(in_data) * WIDE'(FOLDS) + WIDE'(fold);
  logic [ADDRESS-1:0] address;
  logic valid_1;
  always_ff @(posedge clk) begin
    if (step) begin
      address  <= ADDRESS'(place);
      out_data <= rom[address];
    end
    if (rst) begin
      fold <= '0;
      valid_1 <= 1'b0;
      out_valid <= 1'b0;
    end else if (step) begin
      if (in_valid) fold <= fold_end ? '0 : fold + 1'b1;
      valid_1   <= in_valid;
      out_valid <= valid_1;
    end
  end
endmodule
