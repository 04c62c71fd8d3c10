// SPDX-License-Identifier: Apache-2.0
// One layer of a unit: rows come into a ring, loops let them meet the weights, totals become codes, codes words of the result.
//
//   unpool -> concatenate -> convolve -> requantize -> max pool
//
// `fields` of the descriptor, the last one lowest:
//   source1, source2     first word of the tensors that come in; pitch: words from row to row; folds: words of a digit of a pixel
//                        (folds2 = 0: no second one); words1, words2: of a row that is read
//   height, width        pixels of either; up: 2^up pixels from one to the next, zeros between them or, repeats, the pixel again
//   planes               digits of 2 bits of a number; fill: code of zero, for pads and between pixels
//   kernel, dilation, pads, step (stride), pool, advance (pool's stride * step), reach (unit_loops.sv)
//   digits               of a weight; twice, gain, offset (unit_array.sv); diagonal (unit_loops.sv)
//   beats, fold_words    words of weights of a pair of digits, of an out fold
//   slots, row_words, pixel_words   of the ring (unit_rows.sv)
//   out_height, out_width, out_folds, channels   of the result; groups: out_folds * PE / LANES
//   bits                 of a code, 0: sums go out as they are (unit_search.sv); out_planes: digits written
//   floor                cycles of an out fold at least: max(PE / LANES + 2, out_planes)
//
// Before `start` the weights and the table come, and stay until others do. Latency and throughput: fpga/unit/cycles.py.
// Reset, or `running` low, ends the layer; bursts on the way must have ended.
module unit_layer #(
    parameter PE = 16,
    parameter SIMD = 16,
    parameter LANES = 4,
    parameter ACC_BITS = 24,
    parameter WEIGHTS = 1024,
    parameter RING = 1024,
    parameter GROUPS = 16,
    parameter QUEUE = 128,
    parameter [63:0] TARGET = "generic",
    parameter BEHAVIOURAL = 0,
    parameter FIELDS = 582,
    parameter WORD = 2 * SIMD
) (
    input  logic              clk,
    input  logic              rst,
    input  logic [FIELDS-1:0] fields,        // stand still while weights, table and rows come
    input  logic              start,
    input  logic              weights_come,  // what a word of memory is that comes in
    input  logic              table_comes,
    input  logic              running,       // a row's
    input  logic [  WORD-1:0] data,
    input  logic              data_valid,
    output logic              rows_ask,      // for a burst
    output logic [      31:0] rows_address,
    output logic [      31:0] rows_words,
    input  logic              rows_granted,
    output logic [  WORD-1:0] result,
    output logic              result_valid,
    input  logic              result_ready
);
  localparam RING_BITS = $clog2(RING);
  localparam DEEP = $clog2(WEIGHTS);
  localparam PE_BITS = $clog2(PE) > 0 ? $clog2(PE) : 1;
  localparam GROUP = $clog2(GROUPS) > 0 ? $clog2(GROUPS) : 1;
  localparam LANE_BITS = $clog2(LANES) > 0 ? $clog2(LANES) : 1;
  localparam LEVELS = 8;

  wire [31:0] source1, source2, pitch1, pitch2, words1, words2;
  wire [15:0] height, width;
  wire [7:0] folds1, folds2;
  wire [1:0] up_h, up_w;
  wire repeats;
  wire [2:0] planes;
  wire [7:0] fill;
  wire [7:0] kernel_h, kernel_w, dilation_h, dilation_w, pad_top, pad_left, step_h, step_w;
  wire [7:0] pool_h, pool_w, advance_h, advance_w;
  wire [15:0] reach_h;
  wire [2:0] digits;
  wire twice;
  wire [15:0] gain;
  wire [31:0] offset;
  wire diagonal;
  wire [15:0] beats, fold_words;
  wire [7:0] slots;
  wire [15:0] row_words, pixel_words;
  wire [15:0] out_height, out_width;
  wire [7:0] out_folds;
  wire [15:0] channels, groups;
  wire [3:0] bits;
  wire [4:0] out_planes;
  wire [7:0] floor;
  assign {source1, source2, pitch1, pitch2, words1, words2, height, width, folds1, folds2, up_h, up_w, repeats,
          planes, fill, kernel_h, kernel_w, dilation_h, dilation_w, pad_top, pad_left, step_h, step_w, pool_h, pool_w,
          advance_h, advance_w, reach_h, digits, twice, gain, offset, diagonal, beats, fold_words, slots, row_words,
          pixel_words, out_height, out_width, out_folds, channels, groups, bits, out_planes, floor} = fields;

  wire weight_write, entry_write;
  wire [PE_BITS-1:0] weight_pe;
  wire [DEEP-1:0] weight_place;
  wire [LANE_BITS-1:0] entry_lane;
  wire [3:0] entry_level;
  wire [GROUP+LEVELS-2:0] entry_place;
  wire [ACC_BITS:0] entry;
  unit_load #(
      .PE(PE),
      .LANES(LANES),
      .WORD(WORD),
      .ENTRY_BITS(ACC_BITS + 1),
      .DEEP(DEEP),
      .GROUP(GROUP),
      .LEVELS(LEVELS)
  ) u_load (
      .clk(clk),
      .rst(rst),
      .weights_come(weights_come),
      .table_comes(table_comes),
      .data(data),
      .data_valid(data_valid),
      .groups(groups),
      .weight_write(weight_write),
      .weight_pe(weight_pe),
      .weight_place(weight_place),
      .entry_write(entry_write),
      .entry_lane(entry_lane),
      .entry_level(entry_level),
      .entry_place(entry_place),
      .entry(entry)
  );

  wire [15:0] loaded, held;
  wire [RING_BITS-1:0] ring_address;
  wire [WORD-1:0] ring_word;
  unit_rows #(
      .WORD (WORD),
      .DEPTH(RING)
  ) u_rows (
      .clk(clk),
      .rst(rst),
      .start(start),
      .height(height),
      .folds1(folds1),
      .folds2(folds2),
      .planes(planes),
      .slots(slots),
      .row_words(row_words),
      .words1(words1),
      .words2(words2),
      .source1(source1),
      .source2(source2),
      .pitch1(pitch1),
      .pitch2(pitch2),
      .held(held),
      .loaded(loaded),
      .ask(rows_ask),
      .ask_address(rows_address),
      .ask_words(rows_words),
      .granted(rows_granted),
      .data(data),
      .data_valid(data_valid && running),
      .address(ring_address),
      .word(ring_word)
  );

  wire room, reserve, filled, first, shift, valid, last_beat, first_sum, valid_sum;
  wire [1:0] fill_digit;
  wire [DEEP-1:0] weight_address;
  unit_loops #(
      .RATIO(SIMD / PE),
      .RING (RING_BITS),
      .DEEP (DEEP)
  ) u_loops (
      .clk(clk),
      .rst(rst),
      .start(start),
      .height(height),
      .width(width),
      .up_h(up_h),
      .up_w(up_w),
      .repeats(repeats),
      .kernel_h(kernel_h),
      .kernel_w(kernel_w),
      .dilation_h(dilation_h),
      .dilation_w(dilation_w),
      .pad_top(pad_top),
      .pad_left(pad_left),
      .step_h(step_h),
      .step_w(step_w),
      .pool_h(pool_h),
      .pool_w(pool_w),
      .advance_h(advance_h),
      .advance_w(advance_w),
      .reach_h(reach_h),
      .out_height(out_height),
      .out_width(out_width),
      .out_folds(out_folds),
      .digits(digits),
      .planes(planes),
      .fill(fill),
      .diagonal(diagonal),
      .folds1(folds1),
      .folds2(folds2),
      .slots(slots),
      .row_words(row_words),
      .pixel_words(pixel_words),
      .beats(beats),
      .fold_words(fold_words),
      .floor(floor),
      .loaded(loaded),
      .held(held),
      .room(room),
      .reserve(reserve),
      .ring_address(ring_address),
      .weight_address(weight_address),
      .filled(filled),
      .fill_digit(fill_digit),
      .first(first),
      .shift(shift),
      .valid(valid),
      .last(last_beat),
      .first_sum(first_sum),
      .valid_sum(valid_sum)
  );

  wire [LANES*ACC_BITS-1:0] totals;
  wire totals_valid;
  unit_array #(
      .PE(PE),
      .SIMD(SIMD),
      .LANES(LANES),
      .ACC_BITS(ACC_BITS),
      .DEPTH(WEIGHTS),
      .TARGET(TARGET),
      .BEHAVIOURAL(BEHAVIOURAL)
  ) u_array (
      .clk(clk),
      .rst(rst || !running),
      .number_word(ring_word),
      .address(weight_address),
      .filled(filled),
      .fill_digit(fill_digit),
      .first(first),
      .shift(shift),
      .valid(valid),
      .last(last_beat),
      .first_sum(first_sum),
      .valid_sum(valid_sum),
      .twice(twice),
      .gain(gain),
      .offset(ACC_BITS'(offset)),
      .write(weight_write),
      .write_pe(weight_pe),
      .write_address(weight_place),
      .write_word(data),
      .totals(totals),
      .totals_valid(totals_valid)
  );

  unit_results #(
      .SIMD(SIMD),
      .LANES(LANES),
      .ACC_BITS(ACC_BITS),
      .GROUPS(GROUPS),
      .LEVELS(LEVELS),
      .QUEUE(QUEUE)
  ) u_results (
      .clk(clk),
      .rst(rst),
      .running(running),
      .bits(bits),
      .groups(groups),
      .channels(channels),
      .pool_h(pool_h),
      .pool_w(pool_w),
      .out_planes(out_planes),
      .entry_write(entry_write),
      .entry_lane(entry_lane),
      .entry_level(entry_level),
      .entry_place(entry_place),
      .entry(entry),
      .totals(totals),
      .totals_valid(totals_valid),
      .room(room),
      .reserve(reserve),
      .result(result),
      .result_valid(result_valid),
      .result_ready(result_ready)
  );
  wire unused = &{1'b0, offset};
endmodule
