// SPDX-License-Identifier: Apache-2.0
// From totals to the words of a result: requantize, take the largest of each pooling window, pack, and keep until memory takes them.
//
//   code = requantized total (unit_search.sv)          words of pooled codes (unit_collect.sv)
//
// Totals come LANES a cycle, the groups of a pixel in order. `reserve` says that an out fold begins which will fill a word;
// `room` that the queue has place for the digits of one more besides those on the way. Latency 2 * LEVELS + 5 cycles from the
// totals that fill a word to its lowest digit; throughput 1 group and 1 word a cycle. Reset, or `running` low, forgets all but
// the breakpoints.
module unit_results #(
    parameter SIMD = 16,
    parameter LANES = 4,
    parameter ACC_BITS = 24,
    parameter GROUPS = 16,
    parameter LEVELS = 8,
    parameter QUEUE = 128,
    parameter GROUP = $clog2(GROUPS) > 0 ? $clog2(GROUPS) : 1,
    parameter LANE_BITS = $clog2(LANES) > 0 ? $clog2(LANES) : 1,
    parameter PLACE = GROUP + LEVELS - 1,
    parameter WORD = 2 * SIMD
) (
    input  logic                      clk,
    input  logic                      rst,
    input  logic                      running,
    input  logic [               3:0] bits,          // fields of the layer (unit_layer.sv)
    input  logic [              15:0] groups,
    input  logic [              15:0] channels,
    input  logic [               7:0] pool_h,
    input  logic [               7:0] pool_w,
    input  logic [               4:0] out_planes,
    input  logic                      entry_write,   // of a breakpoint (unit_load.sv)
    input  logic [     LANE_BITS-1:0] entry_lane,
    input  logic [               3:0] entry_level,
    input  logic [         PLACE-1:0] entry_place,
    input  logic [        ACC_BITS:0] entry,
    input  logic [LANES*ACC_BITS-1:0] totals,
    input  logic                      totals_valid,
    output logic                      room,
    input  logic                      reserve,
    output logic [          WORD-1:0] result,
    output logic                      result_valid,
    input  logic                      result_ready
);
  wire [LANES*ACC_BITS-1:0] codes;
  // groups of LANES channels through the search
  logic [GROUP-1:0] group;
  always_ff @(posedge clk) begin
    if (!running) group <= '0;
    else if (totals_valid) group <= (GROUP + 1)'(group) == (GROUP + 1)'(groups) - 1'b1 ? '0 : group + 1'b1;
  end
  genvar l;
  generate
    for (l = 0; l < LANES; l = l + 1) begin : gen_lane
      unit_search #(
          .ACC_BITS(ACC_BITS),
          .GROUPS(GROUPS),
          .LEVELS(LEVELS)
      ) u_search (
          .clk(clk),
          .bits(bits),
          .total(totals[l*ACC_BITS+:ACC_BITS]),
          .group(group),
          .code(codes[l*ACC_BITS+:ACC_BITS]),
          .write(entry_write && entry_lane == LANE_BITS'(l)),
          .level(entry_level),
          .address(entry_place),
          .word(entry)
      );
    end
  endgenerate
  wire [GROUP-1:0] codes_group;
  delay #(
      .WIDTH (GROUP),
      .CYCLES(2 * LEVELS + 1)
  ) u_group (
      .clk(clk),
      .in (group),
      .out(codes_group)
  );
  logic [2*LEVELS:0] on_the_way;
  always_ff @(posedge clk) on_the_way <= !running ? '0 : (2 * LEVELS + 1)'({on_the_way, totals_valid});

  wire [WORD-1:0] packed_word;
  wire packed_valid;
  unit_collect #(
      .SIMD(SIMD),
      .LANES(LANES),
      .CODE_BITS(ACC_BITS),
      .KEPT_BITS(LEVELS),
      .GROUPS(GROUPS)
  ) u_collect (
      .clk(clk),
      .rst(rst || !running),
      .codes(codes),
      .group(codes_group),
      .valid(on_the_way[2*LEVELS]),
      .groups((GROUP + 1)'(groups)),
      .channels(channels),
      .taps(16'(pool_h) * 16'(pool_w)),
      .planes(out_planes),
      .word(packed_word),
      .word_valid(packed_valid)
  );

  // words on the way to the queue are counted, so that they find room
  logic [$clog2(QUEUE+1)-1:0] reserved;
  wire leaves = result_valid && result_ready;
  assign room = 16'(reserved) + 16'(out_planes) <= 16'(QUEUE);
  always_ff @(posedge clk) begin
    if (!running) reserved <= '0;
    else reserved <= reserved + ($clog2(QUEUE + 1))'(reserve ? out_planes : 5'd0) - ($clog2(QUEUE + 1))'(leaves);
  end
  wire queue_ready;
  fifo #(
      .WIDTH(WORD),
      .DEPTH(QUEUE)
  ) u_queue (
      .clk(clk),
      .rst(rst),
      .in_data(packed_word),
      .in_valid(packed_valid),
      .in_ready(queue_ready),
      .out_data(result),
      .out_valid(result_valid),
      .out_ready(result_ready)
  );
  wire unused = &{1'b0, queue_ready, groups};
endmodule
