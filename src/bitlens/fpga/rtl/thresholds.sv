// SPDX-License-Identifier: Apache-2.0
// Step tables of LANES channels at once: the core of every requantization.
//
//   out[l] = value[l][ #{ j : in[l] >= breakpoint[l][j] } ]
//
// The table's word for a fold holds, for lane 0 first: LEVELS breakpoints of IN_BITS, then LEVELS + 1 values of OUT_BITS.
// Latency 2 cycles, one beat a cycle, no handshake: who uses it has room for what comes out. Reset stops what is on the way.
module thresholds #(
    parameter LANES = 1,
    parameter FOLDS = 1,
    parameter IN_BITS = 8,  // two's complement
    parameter LEVELS = 3,
    parameter OUT_BITS = 2,
    parameter TABLE = "table.hex",
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
  localparam COUNT = $clog2(LEVELS + 1);

  logic [LANES*LANE-1:0] rom[0:FOLDS-1];
  initial $readmemh(TABLE, rom);

  logic [LANES*LANE-1:0] row;
  logic [LANES*IN_BITS-1:0] data;
  logic valid;
  always_ff @(posedge clk) begin
    row   <= rom[in_fold];
    data  <= in_data;
    valid <= in_valid && !rst;
    out_valid <= valid && !rst;
  end

  genvar lane;
  generate
    for (lane = 0; lane < LANES; lane = lane + 1) begin : gen_lane
      wire [LANE-1:0] entry = row[lane*LANE+:LANE];
      wire signed [IN_BITS-1:0] number = data[lane*IN_BITS+:IN_BITS];
      logic [COUNT-1:0] count;
      integer j;
      always_comb begin
        count = '0;
        for (j = 0; j < LEVELS; j = j + 1) begin
          if (number >= $signed(entry[j*IN_BITS+:IN_BITS])) count = count + 1'b1;
        end
      end
      always_ff @(posedge clk) out_data[lane*OUT_BITS+:OUT_BITS] <= entry[LEVELS*IN_BITS+count*OUT_BITS+:OUT_BITS];
    end
  endgenerate
endmodule
