// SPDX-License-Identifier: Apache-2.0
// Convolution of every channel by itself: sums over the taps of a window.
//
//   out[c] = sum over taps of weight[tap][c] * in[tap][c]
//
// Taps come one after the other, FOLDS beats of LANES channels each (window.sv); the ROM's word of (tap, fold) holds LANES
// weights. Latency 3 cycles after the last tap's beat, throughput 1 beat a cycle. Reset forgets the window in progress.
module depthwise #(
    parameter LANES = 1,
    parameter FOLDS = 1,
    parameter TAPS = 9,
    parameter IN_BITS = 2,
    parameter IN_SIGNED = 0,
    parameter WEIGHT_BITS = 2,  // two's complement
    parameter OUT_BITS = 8,  // two's complement
    parameter WEIGHTS = ""
) (
    input  logic                      clk,
    input  logic                      rst,        // synchronous, active high
    input  logic [ LANES*IN_BITS-1:0] in_data,
    input  logic                      in_valid,
    output logic                      in_ready,
    output logic [LANES*OUT_BITS-1:0] out_data,
    output logic                      out_valid,
    input  logic                      out_ready
);
  localparam DEPTH = TAPS * FOLDS;
  localparam ADDRESS = $clog2(DEPTH) > 0 ? $clog2(DEPTH) : 1;
  localparam FOLD = $clog2(FOLDS) > 0 ? $clog2(FOLDS) : 1;

  logic [LANES*WEIGHT_BITS-1:0] rom[0:DEPTH-1];
  generate
    if (WEIGHTS != "") begin : gen_contents
      initial $readmemh(WEIGHTS, rom);
    end
  endgenerate

  // one enable: the stages move together
  wire step = !out_valid || out_ready;
  assign in_ready = step;

  logic [ADDRESS-1:0] address;
  logic [FOLD-1:0] fold, fold_1;
  wire fold_end = fold == FOLD'(FOLDS - 1);
  wire begins = address < ADDRESS'(FOLDS);
  wire ends = address >= ADDRESS'(DEPTH - FOLDS);

  logic [LANES*WEIGHT_BITS-1:0] weights;
  logic [LANES*IN_BITS-1:0] data;
  logic valid_1, begins_1, ends_1;
  always_ff @(posedge clk) begin
    if (step) begin
      weights <= rom[address];
      data <= in_data;
      begins_1 <= begins;
      ends_1 <= ends;
      fold_1 <= fold;
    end
    if (rst) begin
      address <= '0;
      fold <= '0;
      valid_1 <= 1'b0;
      out_valid <= 1'b0;
    end else if (step) begin
      valid_1 <= in_valid;
      out_valid <= valid_1 && ends_1;
      if (in_valid) begin
        address <= address == ADDRESS'(DEPTH - 1) ? '0 : address + 1'b1;
        fold <= fold_end ? '0 : fold + 1'b1;
      end
    end
  end

  logic [LANES*OUT_BITS-1:0] kept[0:FOLDS-1];
  logic [LANES*OUT_BITS-1:0] now;
  wire [LANES*OUT_BITS-1:0] held = kept[fold_1];

  genvar lane;
  generate
    for (lane = 0; lane < LANES; lane = lane + 1) begin : gen_lane
      wire signed [IN_BITS:0] factor = $signed(
          {(IN_SIGNED != 0) && data[lane*IN_BITS+IN_BITS-1], data[lane*IN_BITS+:IN_BITS]}
      );
      wire signed [WEIGHT_BITS-1:0] weight = weights[lane*WEIGHT_BITS+:WEIGHT_BITS];
      wire signed [OUT_BITS-1:0] product = OUT_BITS'(factor * weight);
      wire signed [OUT_BITS-1:0] total = held[lane*OUT_BITS+:OUT_BITS];
      assign now[lane*OUT_BITS+:OUT_BITS] = begins_1 ? product : total + product;
    end
  endgenerate

  always_ff @(posedge clk) begin
    if (step && valid_1) begin
      kept[fold_1] <= now;
      out_data <= now;
    end
  end
endmodule
