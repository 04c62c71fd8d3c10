// SPDX-License-Identifier: Apache-2.0
// Multiply, add, shift and clamp, channel by channel: requantization to many bits.
//
//   out[l] = clamp((multiplier[l] * in[l] + addend[l]) >> SHIFT, LO, HI)
//
// The table's word for a fold holds for each lane, lane 0 first: multiplier, addend. Product and sum fit the multiplier and the adder
// of one DSP slice where the device has such. FOLDS beats make a pixel. Latency 5 cycles, throughput 1 beat a cycle. Reset forgets
// what is on the way.
module rescale #(
    parameter LANES = 1,
    parameter FOLDS = 1,
    parameter ROWS = 1,  // of the table: FOLDS, or 1 for all channels alike
    parameter IN_BITS = 8,
    parameter IN_SIGNED = 1,
    parameter MULTIPLIER_BITS = 16,
    parameter ADDEND_BITS = 32,
    parameter TOTAL_BITS = 32,  // of the sum before the shift, two's complement
    parameter SHIFT = 16,
    parameter OUT_BITS = 8,
    parameter signed [31:0] LO = 0,
    parameter signed [31:0] HI = 255,
    parameter TABLE = ""
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
  localparam FOLD = $clog2(FOLDS) > 0 ? $clog2(FOLDS) : 1;
  localparam ROW = $clog2(ROWS) > 0 ? $clog2(ROWS) : 1;
  localparam LANE = MULTIPLIER_BITS + ADDEND_BITS;
  localparam NUMBER = IN_SIGNED != 0 ? IN_BITS : IN_BITS + 1;
  localparam PRODUCT = MULTIPLIER_BITS + NUMBER;
  // No bit that only repeats the sign: of such Yosys 0.70 leaves the second unconnected where a DSP slice takes the register.
  localparam MOST_BITS = (PRODUCT > ADDEND_BITS ? PRODUCT : ADDEND_BITS) + 1;
  localparam SUM = TOTAL_BITS < MOST_BITS ? TOTAL_BITS : MOST_BITS;
  localparam WIDE = TOTAL_BITS > SHIFT + OUT_BITS + 1 ? TOTAL_BITS : SHIFT + OUT_BITS + 1;
  localparam LEAST = LO < 0 ? -(1 << (OUT_BITS - 1)) : 0;  // what OUT_BITS can hold
  localparam MOST = LO < 0 ? (1 << (OUT_BITS - 1)) - 1 : (1 << OUT_BITS) - 1;
  localparam SIGN = LO < 0 ? 1 : 0;

  logic [FOLD-1:0] fold;
  logic [LANES*LANE-1:0] rom[0:ROWS-1];
  generate
    if (TABLE != "") begin : gen_contents
      initial $readmemh(TABLE, rom);
    end
  endgenerate

  // one enable: the stages move together
  logic [3:0] valid;  // the newest at the bottom
  wire step = !out_valid || out_ready;
  assign in_ready = step;

  logic [LANES*LANE-1:0] row, row_2, row_3;  // a block RAM's word and a product do not fit one cycle
  logic [LANES*IN_BITS-1:0] data, data_2;
  always_ff @(posedge clk) begin
    if (step) begin
      row   <= rom[ROWS == 1 ? '0 : ROW'(fold)];
      row_2 <= row;
      row_3 <= row_2;
      data  <= in_data;
      data_2 <= data;
    end
    if (rst) begin
      fold <= '0;
      valid <= '0;
      out_valid <= 1'b0;
    end else if (step) begin
      if (in_valid) fold <= fold == FOLD'(FOLDS - 1) ? '0 : fold + 1'b1;
      valid <= {valid[2:0], in_valid};
      out_valid <= valid[3];
    end
  end

  genvar lane;
  generate
    for (lane = 0; lane < LANES; lane = lane + 1) begin : gen_lane
      wire signed [MULTIPLIER_BITS-1:0] multiplier = row_2[lane*LANE+:MULTIPLIER_BITS];
      wire signed [ADDEND_BITS-1:0] addend = row_3[lane*LANE+MULTIPLIER_BITS+:ADDEND_BITS];
      wire signed [NUMBER-1:0] number = NUMBER'(data_2[lane*IN_BITS+:IN_BITS]);
      logic signed [PRODUCT-1:0] product;
      logic signed [SUM-1:0] total;
      wire signed [WIDE-1:0] wide = WIDE'(total);
      wire [WIDE-SHIFT-1:0] shifted = wide[WIDE-1:SHIFT];
      wire unused = &{1'b0, row_3[lane*LANE+:MULTIPLIER_BITS], addend, product, wide};  // bits beyond SUM
      logic [OUT_BITS-1:0] clamped;
      if (LO == LEAST && HI == MOST) begin : gen_all  // clamped where the bits above do not repeat the sign
        wire negative = shifted[WIDE-SHIFT-1];
        wire [WIDE-SHIFT-OUT_BITS-1:0] above = shifted[WIDE-SHIFT-1-SIGN:OUT_BITS-SIGN];
        wire fits = above == {WIDE - SHIFT - OUT_BITS{negative && SIGN != 0}};
        assign clamped = fits ? shifted[OUT_BITS-1:0] : {OUT_BITS{!negative}} ^ OUT_BITS'(SIGN << (OUT_BITS - 1));
      end else begin : gen_some
        wire signed [WIDE-SHIFT-1:0] result = shifted;
        wire signed [63:0] long = 64'(result);
        assign clamped = OUT_BITS'(long < 64'(LO) ? 64'(LO) : long > 64'(HI) ? 64'(HI) : long);
      end
      always_ff @(posedge clk) begin
        if (step) begin
          product <= PRODUCT'(multiplier * number);
          total <= SUM'(product) + SUM'(addend);
          out_data[lane*OUT_BITS+:OUT_BITS] <= clamped;
        end
      end
    end
  endgenerate
endmodule
