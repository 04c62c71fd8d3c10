// SPDX-License-Identifier: Apache-2.0
// Codes to words of memory: the largest of each pooling window, then SIMD channels side by side, a word for every digit of 2 bits.
//
//   kept[c] = first tap ? code[c] : max(code[c], kept[c])          word[p] lane l = bits 2p+1..2p of kept[SIMD*n + l]
//
// Codes come LANES a beat, groups in order of the channels, all groups of a pooling tap before the next tap. Channels from
// `channels` on are written as 0. Latency 3 cycles from the beat that fills a word to its lowest digit, throughput 1 beat and 1
// word a cycle; `planes` cycles must lie between two words that fill. Reset forgets all.
module unit_collect #(
    parameter SIMD = 16,
    parameter LANES = 4,
    parameter CODE_BITS = 24,
    parameter KEPT_BITS = 8,  // of a code that is pooled
    parameter GROUPS = 16,    // at most
    parameter GROUP = $clog2(GROUPS) > 0 ? $clog2(GROUPS) : 1
) (
    input  logic                       clk,
    input  logic                       rst,
    input  logic [LANES*CODE_BITS-1:0] codes,
    input  logic [          GROUP-1:0] group,
    input  logic                       valid,
    input  logic [           GROUP:0] groups,    // of a pixel
    input  logic [               15:0] channels,
    input  logic [               15:0] taps,      // of a pooling window
    input  logic [                4:0] planes,    // digits of a code
    output logic [         2*SIMD-1:0] word,
    output logic                       word_valid
);
  localparam PARTS = SIMD / LANES;
  localparam PART = $clog2(PARTS) > 0 ? $clog2(PARTS) : 1;
  localparam WORD = SIMD * CODE_BITS;

  logic [15:0] tap;
  logic [PART-1:0] part;
  logic [LANES*KEPT_BITS-1:0] kept[0:GROUPS-1];
  wire [LANES*KEPT_BITS-1:0] earlier = kept[group];
  wire last_tap = tap == taps - 16'd1;
  wire last_group = (GROUP + 1)'(group) == groups - 1'b1;
  wire fills = valid && last_tap && (part == PART'(PARTS - 1) || last_group);

  logic [LANES*CODE_BITS-1:0] best;
  logic [LANES*KEPT_BITS-1:0] keep;
  genvar l;
  generate
    for (l = 0; l < LANES; l = l + 1) begin : gen_lane
      wire [CODE_BITS-1:0] code = codes[l*CODE_BITS+:CODE_BITS];
      wire [KEPT_BITS-1:0] old = earlier[l*KEPT_BITS+:KEPT_BITS];
      wire old_wins = tap != '0 && old > code[KEPT_BITS-1:0];
      wire there = 16'(group) * 16'(LANES) + 16'(l) < channels;
      assign best[l*CODE_BITS+:CODE_BITS] = !there ? '0 : old_wins ? CODE_BITS'(old) : code;
      assign keep[l*KEPT_BITS+:KEPT_BITS] = best[l*CODE_BITS+:KEPT_BITS];
    end
  endgenerate

  // a beat in a register of its own, then beside those that came before
  logic [LANES*CODE_BITS-1:0] beat;
  logic [PARTS-1:0] here;  // which part of a word it is
  logic taken, filled;
  always_ff @(posedge clk) begin
    beat   <= best;
    here   <= PARTS'(1) << part;
    taken  <= valid && last_tap && !rst;
    filled <= fills && !rst;
  end

  logic [WORD-1:0] filling, full, leaving;  // SIMD codes
  logic [4:0] left;  // digits that wait
  genvar p;
  generate
    for (p = 0; p < PARTS; p = p + 1) begin : gen_part
      assign full[p*LANES*CODE_BITS+:LANES*CODE_BITS] = here[p] ? beat : filling[p*LANES*CODE_BITS+:LANES*CODE_BITS];
      always_ff @(posedge clk) begin
        if (rst || filled) filling[p*LANES*CODE_BITS+:LANES*CODE_BITS] <= '0;
        else if (taken && here[p]) filling[p*LANES*CODE_BITS+:LANES*CODE_BITS] <= beat;
      end
    end
  endgenerate
  assign word_valid = left != '0;
  generate
    for (l = 0; l < SIMD; l = l + 1) begin : gen_digit
      assign word[2*l+:2] = leaving[l*CODE_BITS+:2];
      always_ff @(posedge clk) begin
        if (filled) leaving[l*CODE_BITS+:CODE_BITS] <= full[l*CODE_BITS+:CODE_BITS];
        else leaving[l*CODE_BITS+:CODE_BITS] <= {2'b00, leaving[l*CODE_BITS+2+:CODE_BITS-2]};
      end
    end
  endgenerate

  always_ff @(posedge clk) begin
    if (valid) kept[group] <= keep;
    if (rst) begin
      tap <= '0;
      part <= '0;
      left <= '0;
    end else begin
      if (filled) left <= planes;
      else if (left != '0) left <= left - 5'd1;
      if (valid) begin
        part <= last_group || part == PART'(PARTS - 1) ? '0 : part + 1'b1;
        if (last_group) tap <= last_tap ? '0 : tap + 16'd1;
      end
    end
  end
endmodule
