// SPDX-License-Identifier: Apache-2.0
// Step tables of LANES channels at once: the core of every requantization.
//
//   out[l] = value[l][ #{ j : in[l] >= breakpoint[l][j] } ]
//
// The table's word for a fold holds, for lane 0 first: LEVELS breakpoints of IN_BITS, ascending, then LEVELS + 1 values of
// OUT_BITS. So the breakpoints reached come before those that are not, and the value is that between the two.
// Latency 3 cycles, one beat a cycle, no handshake: who uses it has room for what comes out. Reset stops what is on the way.
module thresholds #(
    parameter LANES = 1,
    parameter FOLDS = 1,
    parameter IN_BITS = 8,  // two's complement
    parameter LEVELS = 3,
    parameter OUT_BITS = 2,
    parameter [63:0] TARGET = "generic",  // on ecp5 a comparison is the sign of a difference: a carry leaves its chain slowly
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
  localparam LANE = LEVELS * IN_BITS + (LEVELS + 1) * OUT_BITS;

  logic [LANES*LANE-1:0] rom[0:FOLDS-1];
  generate
    if (TABLE != "") begin : gen_contents
      initial $readmemh(TABLE, rom);
    end
  endgenerate

  logic [LANES*LANE-1:0] row;
  logic [LANES*IN_BITS-1:0] data;
  logic [1:0] valid;
  always_ff @(posedge clk) begin
    if (BEHAVIOURAL == 0 || in_valid) begin
      row  <= rom[in_fold];
      data <= in_data;
    end
    valid <= rst ? '0 : {valid[0], in_valid};
    out_valid <= valid[1] && !rst;
  end

  genvar lane;
  generate
    for (lane = 0; lane < LANES; lane = lane + 1) begin : gen_lane
      wire [LANE-1:0] entry = row[lane*LANE+:LANE];
      wire signed [IN_BITS-1:0] number = data[lane*IN_BITS+:IN_BITS];
      logic [LEVELS-1:0] reached, reach;
      for (genvar k = 0; k < LEVELS; k = k + 1) begin : gen_level
        wire signed [IN_BITS-1:0] breakpoint = entry[k*IN_BITS+:IN_BITS];
        if (TARGET == "ecp5") begin : gen_sign
          wire signed [IN_BITS:0] difference = (IN_BITS + 1)'(number) - (IN_BITS + 1)'(breakpoint);
          assign reach[k] = !difference[IN_BITS];
          wire unused = &{1'b0, difference};
        end else begin : gen_compare
          assign reach[k] = number >= breakpoint;
        end
      end
      logic [(LEVELS+1)*OUT_BITS-1:0] values;
      wire [LEVELS+1:0] from = {1'b0, reached, 1'b1};
      logic [OUT_BITS-1:0] value;
      integer j;
      always_comb begin
        value = '0;
        for (j = 0; j <= LEVELS; j = j + 1) begin
          value = value | (values[j*OUT_BITS+:OUT_BITS] & {OUT_BITS{from[j] && !from[j+1]}});
        end
      end
      always_ff @(posedge clk) begin
        if (BEHAVIOURAL == 0 || valid[0]) begin
          reached <= reach;
          values  <= entry[LEVELS*IN_BITS+:(LEVELS+1)*OUT_BITS];
        end
        if (BEHAVIOURAL == 0 || valid[1]) out_data[lane*OUT_BITS+:OUT_BITS] <= value;
      end
    end
  endgenerate
endmodule
