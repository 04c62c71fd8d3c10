// SPDX-License-Identifier: Apache-2.0
// Multiply, add, shift and clamp, channel by channel: requantization to many bits.
//
//   out[l] = clamp((multiplier[l] * in[l] + addend[l]) >> shift[l], LO, HI)
//
// The table's word for a fold holds for each lane, lane 0 first: multiplier, addend, shift. FOLDS beats make a pixel. Latency
// 4 cycles, throughput 1 beat a cycle. Reset forgets what is on the way.
module rescale #(
    parameter LANES = 1,
    parameter FOLDS = 1,
    parameter ROWS = 1,  // of the table: FOLDS, or 1 for all channels alike
    parameter IN_BITS = 8,
    parameter IN_SIGNED = 1,
    parameter MULTIPLIER_BITS = 32,
    parameter ADDEND_BITS = 63,
    parameter OUT_BITS = 8,
    parameter signed [31:0] LO = 0,
    parameter signed [31:0] HI = 255,
    parameter TABLE = "table.hex"
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
  localparam LANE = MULTIPLIER_BITS + ADDEND_BITS + 6;

  logic [FOLD-1:0] fold;
  logic [LANES*LANE-1:0] rom[0:ROWS-1];
  initial $readmemh(TABLE, rom);

  // one enable: the stages move together
  logic valid_1, valid_2, valid_3;
  wire step = !out_valid || out_ready;
  assign in_ready = step;

  logic [LANES*LANE-1:0] row, row_2;
  logic [LANES*IN_BITS-1:0] data;
  always_ff @(posedge clk) begin
    if (step) begin
      row   <= rom[ROWS == 1 ? '0 : ROW'(fold)];
      row_2 <= row;
      data  <= in_data;
    end
    if (rst) begin
      fold <= '0;
      valid_1 <= 1'b0;
      valid_2 <= 1'b0;
      valid_3 <= 1'b0;
      out_valid <= 1'b0;
    end else if (step) begin
      if (in_valid) fold <= fold == FOLD'(FOLDS - 1) ? '0 : fold + 1'b1;
      valid_1   <= in_valid;
      valid_2   <= valid_1;
      valid_3   <= valid_2;
      out_valid <= valid_3;
    end
  end

  genvar lane;
  generate
    for (lane = 0; lane < LANES; lane = lane + 1) begin : gen_lane
      wire signed [MULTIPLIER_BITS-1:0] multiplier = row[lane*LANE+:MULTIPLIER_BITS];
      wire signed [ADDEND_BITS-1:0] addend = row_2[lane*LANE+MULTIPLIER_BITS+:ADDEND_BITS];
      wire signed [IN_BITS:0] number = $signed(
          {(IN_SIGNED != 0) && data[lane*IN_BITS+IN_BITS-1], data[lane*IN_BITS+:IN_BITS]}
      );
      wire unused = &{1'b0, row_2[lane*LANE+:MULTIPLIER_BITS]};
      logic signed [63:0] product, total, shifted;
      logic [5:0] shift;
      assign shifted = total >>> shift;
      always_ff @(posedge clk) begin
        if (step) begin
          product <= 64'(multiplier * number);
          total <= product + 64'(addend);
          shift <= row_2[lane*LANE+MULTIPLIER_BITS+ADDEND_BITS+:6];
          out_data[lane*OUT_BITS+:OUT_BITS] <= OUT_BITS'(shifted < 64'(LO) ? 64'(LO) : shifted > 64'(HI) ? 64'(HI) : shifted);
        end
      end
    end
  endgenerate
endmodule
