// SPDX-License-Identifier: Apache-2.0
// Step tables as an element of its own: behind sums, pools and joins.
//
//   out[l] = value[l][ #{ j : in[l] >= breakpoint[l][j] } ]        (thresholds.sv)
//
// FOLDS beats make a pixel. Latency 4 cycles, throughput 1 beat a cycle. Reset forgets what is on the way.
module steps #(
    parameter LANES = 1,
    parameter FOLDS = 1,
    parameter ROWS = 1,  // of the table: FOLDS, or 1 for all channels alike
    parameter IN_BITS = 8,  // two's complement
    parameter LEVELS = 3,
    parameter OUT_BITS = 2,
    parameter TABLE = ""
) (
    input  logic                      clk,
    input  logic                      rst,
    input  logic [ LANES*IN_BITS-1:0] in_data,
    input  logic                      in_valid,
    output logic                      in_ready,
    output logic [LANES*OUT_BITS-1:0] out_data,
    output logic                      out_valid,
    input  logic                      out_ready
);
  localparam FOLD = $clog2(FOLDS) > 0 ? $clog2(FOLDS) : 1;
  localparam ROW = $clog2(ROWS) > 0 ? $clog2(ROWS) : 1;

  logic [FOLD-1:0] fold;
  wire take = in_valid && in_ready;
  always_ff @(posedge clk) begin
    if (rst) fold <= '0;
    else if (take) fold <= fold == FOLD'(FOLDS - 1) ? '0 : fold + 1'b1;
  end

  logic [LANES*OUT_BITS-1:0] codes;
  logic codes_valid;
  thresholds #(
      .LANES(LANES),
      .FOLDS(ROWS),
      .IN_BITS(IN_BITS),
      .LEVELS(LEVELS),
      .OUT_BITS(OUT_BITS),
      .TABLE(TABLE)
  ) u_thresholds (
      .clk(clk),
      .rst(rst),
      .in_data(in_data),
      .in_fold(ROWS == 1 ? '0 : ROW'(fold)),
      .in_valid(take),
      .out_data(codes),
      .out_valid(codes_valid)
  );

  credit_queue #(
      .WIDTH(LANES * OUT_BITS),
      .DEPTH(6)  // a beat a cycle, 4 cycles on the way
  ) u_queue (
      .clk(clk),
      .rst(rst),
      .may_start(in_ready),
      .start(take),
      .result(codes),
      .result_valid(codes_valid),
      .out_data(out_data),
      .out_valid(out_valid),
      .out_ready(out_ready)
  );
endmodule
