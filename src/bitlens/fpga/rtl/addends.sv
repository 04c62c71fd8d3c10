// SPDX-License-Identifier: Apache-2.0
// A number of its own added to each of LANES channels at once.
//
//   out[l] = in[l] + addend[l], the lower OUT_BITS
//
// The table's word for a fold holds the addends, OUT_BITS two's complement, lane 0 lowest. Latency 2 cycles, one beat a cycle, no
// handshake: who uses it has room for what comes out. Reset stops what is on the way.
module addends #(
    parameter LANES = 1,
    parameter FOLDS = 1,
    parameter IN_BITS = 8,  // two's complement
    parameter OUT_BITS = 8,  // two's complement
    parameter TABLE = "",
    parameter BEHAVIOURAL = 0,  // 1: what is not valid does not move, which simulates fast
    localparam FOLD = $clog2(FOLDS) > 0 ? $clog2(FOLDS) : 1
) (
    input  logic                      clk,
    input  logic                      rst,
    input  logic [ LANES*IN_BITS-1:0] in_data,
    input  logic [          FOLD-1:0] in_fold,
    input  logic                      in_valid,
    output logic [LANES*OUT_BITS-1:0] out_data,
    output logic                      out_valid
);
  logic [LANES*OUT_BITS-1:0] rom[0:FOLDS-1];
  generate
    if (TABLE != "") begin : gen_contents
      initial $readmemh(TABLE, rom);
    end
  endgenerate

  logic [LANES*OUT_BITS-1:0] row;
  logic [LANES*IN_BITS-1:0] data;
  logic valid;
  always_ff @(posedge clk) begin
    if (BEHAVIOURAL == 0 || in_valid) begin
      row  <= rom[in_fold];
      data <= in_data;
    end
    valid <= in_valid && !rst;
    out_valid <= valid && !rst;
  end

  genvar lane;
  generate
    for (lane = 0; lane < LANES; lane = lane + 1) begin : gen_lane
      wire signed [IN_BITS-1:0] number = data[lane*IN_BITS+:IN_BITS];
      wire unused = &{1'b0, number};  // upper bits, where there are more than OUT_BITS
      always_ff @(posedge clk)
        if (BEHAVIOURAL == 0 || valid) out_data[lane*OUT_BITS+:OUT_BITS] <= OUT_BITS'(number) + row[lane*OUT_BITS+:OUT_BITS];
    end
  endgenerate
endmodule
