// SPDX-License-Identifier: Apache-2.0
// Where the words of weights and of the table of a layer belong.
//
//   word i of weights:    processing element i mod PE, place i / PE
//   entry e of the table: lane e mod LANES; place e / LANES in the levels one after the other, groups * 2^L in level L
//
// An entry is ENTRY_WORDS words, the first one lowest. A word of weights is written in the cycle in which it comes, latency 0;
// an entry 1 cycle after its last word. Throughput 1 word a cycle. Reset is the time in which no weights, or no entries, come:
// then counting begins anew.
module unit_load #(
    parameter PE = 16,
    parameter LANES = 4,
    parameter WORD = 32,
    parameter ENTRY_BITS = 25,
    parameter DEEP = 10,    // bits of an address of the weights
    parameter GROUP = 4,    // bits of a number of a group
    parameter LEVELS = 8,
    parameter PE_BITS = $clog2(PE) > 0 ? $clog2(PE) : 1,
    parameter LANE_BITS = $clog2(LANES) > 0 ? $clog2(LANES) : 1,
    parameter PLACE = GROUP + LEVELS - 1
) (
    input  logic                  clk,
    input  logic                  rst,
    input  logic                  weights_come,
    input  logic                  table_comes,
    input  logic [      WORD-1:0] data,
    input  logic                  data_valid,
    input  logic [          15:0] groups,        // of the layer
    output logic                  weight_write,  // `data` is a word of weights
    output logic [   PE_BITS-1:0] weight_pe,
    output logic [      DEEP-1:0] weight_place,
    output logic                  entry_write,
    output logic [LANE_BITS-1:0] entry_lane,
    output logic [           3:0] entry_level,
    output logic [     PLACE-1:0] entry_place,
    output logic [ENTRY_BITS-1:0] entry
);
  localparam ENTRY_WORDS = (ENTRY_BITS + WORD - 1) / WORD;
  localparam ENTRY = ENTRY_WORDS * WORD;

  assign weight_write = data_valid && weights_come;
  always_ff @(posedge clk) begin
    if (!weights_come) begin
      weight_pe <= '0;
      weight_place <= '0;
    end else if (weight_write) begin
      weight_pe <= weight_pe == PE_BITS'(PE - 1) ? '0 : weight_pe + 1'b1;
      if (weight_pe == PE_BITS'(PE - 1)) weight_place <= weight_place + 1'b1;
    end
  end

  logic [ENTRY-1:0] words;
  logic [7:0] part;
  logic [LANE_BITS-1:0] lane;
  logic [PLACE:0] place;
  logic [3:0] level;
  wire entry_end = part == 8'(ENTRY_WORDS - 1);
  wire lane_end = entry_end && lane == LANE_BITS'(LANES - 1);
  wire level_end = lane_end && place == ((PLACE + 1)'(groups) << level) - 1'b1;
  assign entry = words[ENTRY_BITS-1:0];
  always_ff @(posedge clk) begin
    entry_write <= data_valid && table_comes && entry_end && !rst;
    entry_lane  <= lane;
    entry_place <= place[PLACE-1:0];
    entry_level <= level;
    if (data_valid && table_comes) words <= ENTRY'({data, words} >> WORD);
    if (!table_comes) begin
      part <= '0;
      lane <= '0;
      place <= '0;
      level <= '0;
    end else if (data_valid) begin
      part <= entry_end ? '0 : part + 8'd1;
      if (entry_end) lane <= lane_end ? '0 : lane + 1'b1;
      if (lane_end) place <= level_end ? '0 : place + 1'b1;
      if (level_end) level <= level + 4'd1;
    end
  end
  wire unused = &{1'b0, groups, words};
endmodule
