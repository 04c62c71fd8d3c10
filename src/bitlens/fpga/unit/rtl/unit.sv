// SPDX-License-Identifier: Apache-2.0
// Execution unit, memory to memory: runs a program of layers, each of them
//
//   unpool -> concatenate -> convolve -> requantize -> max pool
//
// A layer is one descriptor; its fields stand in `descriptor` below, the last one lowest, and mean:
//   last                 the program ends here
//   source1, source2     first word of the tensors that come in; pitch: words from row to row; folds: words of a digit of a pixel
//                        (folds2 = 0: no second one); words1, words2: of a row that is read
//   height, width        pixels of either; up: 2^up pixels from one to the next, zeros between them or, repeats, the pixel again
//   planes               digits of 2 bits of a number; fill: code of zero, for pads and between pixels
//   kernel, dilation, pads, step (stride), pool, advance (pool's stride * step), reach (unit_loops.sv)
//   weights, table       where they lie, and how many words
//   digits               of a weight; twice, gain, offset (unit_array.sv); diagonal (unit_loops.sv)
//   beats, fold_words    words of weights of a pair of digits, of an out fold
//   slots, row_words, pixel_words   of the ring (unit_rows.sv)
//   out_height, out_width, out_folds, channels   of the result; groups: out_folds * PE / LANES
//   bits                 of a code, 0: sums go out as they are (unit_search.sv); out_planes: digits written
//   floor                cycles of an out fold at least: max(PE / LANES + 2, out_planes)
//   result, result_words
//
// A tensor is rows of pixels; a pixel is ceil(channels / SIMD) folds; a fold is a word for each digit from the
// lowest, of SIMD digits of 2 bits.
// The memory port: bursts of whole words, reads and writes apart. `read_*`: a burst is granted where valid and ready meet; then
// its words come, in order, and are taken at once. At most one burst is on the way. `write_*`: one burst a layer, then its
// words with valid and ready. `go` starts the program at `program_address`; `done` is high until the next `go`. Latency and
// throughput: fpga/unit/cycles.py. Reset (synchronous, active high) ends the program; bursts on the way must have ended.
module unit #(
    parameter PE = 16,
    parameter SIMD = 16,   // at least PE; both powers of two
    parameter LANES = 4,   // codes a cycle, divides PE
    parameter ACC_BITS = 24,
    parameter WEIGHTS = 1024,  // words of weights of a layer at most
    parameter RING = 1024,     // words of the ring
    parameter GROUPS = 16,     // LANES channels each, of a layer at most
    parameter QUEUE = 128,     // words that wait to be written; more than are on the way
    parameter [63:0] TARGET = "generic",
    parameter BEHAVIOURAL = 0,
    parameter WORD = 2 * SIMD
) (
    input  logic            clk,
    input  logic            rst,
    input  logic            go,
    input  logic [    31:0] program_address,
    output logic            done,
    output logic            layer_done,     // pulses where the last word of a layer's result is taken
    output logic [    31:0] read_address,   // in words
    output logic [    31:0] read_words,
    output logic            read_valid,
    input  logic            read_ready,
    input  logic [WORD-1:0] read_data,
    input  logic            read_data_valid,
    output logic [    31:0] write_address,
    output logic [    31:0] write_words,
    output logic            write_valid,
    input  logic            write_ready,
    output logic [WORD-1:0] write_data,
    output logic            write_data_valid,
    input  logic            write_data_ready
);
  localparam DESCRIPTOR = 775;
  localparam DESCRIPTOR_WORDS = (DESCRIPTOR + WORD - 1) / WORD;
  localparam RING_BITS = $clog2(RING);
  localparam DEEP = $clog2(WEIGHTS);
  localparam PE_BITS = $clog2(PE) > 0 ? $clog2(PE) : 1;
  localparam GROUP = $clog2(GROUPS) > 0 ? $clog2(GROUPS) : 1;
  localparam LEVELS = 8;
  localparam ENTRY_WORDS = (ACC_BITS + 1 + WORD - 1) / WORD;  // of a breakpoint
  localparam LANE_BITS = $clog2(LANES) > 0 ? $clog2(LANES) : 1;

  logic [DESCRIPTOR_WORDS*WORD-1:0] descriptor;
  wire last;
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
  wire [31:0] weights, weight_words, table_address, table_words;
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
  wire [31:0] result, result_words;
  assign {last, source1, source2, pitch1, pitch2, words1, words2, height, width, folds1, folds2, up_h, up_w, repeats,
          planes, fill, kernel_h, kernel_w, dilation_h, dilation_w, pad_top, pad_left, step_h, step_w, pool_h, pool_w,
          advance_h, advance_w, reach_h, weights, weight_words, table_address, table_words, digits, twice, gain,
          offset, diagonal, beats, fold_words, slots, row_words, pixel_words, out_height, out_width, out_folds,
          channels, groups, bits, out_planes, floor, result, result_words} = descriptor[DESCRIPTOR-1:0];

  // control: a burst for the descriptor, the weights and the table; then rows as the loops want them
  localparam [2:0] IDLE = 3'd0, FETCH = 3'd1, LOAD = 3'd2, SEARCH = 3'd3, RUN = 3'd4;
  logic [2:0] state;
  logic asked;  // the burst of this state is granted
  logic [31:0] next, left, written;
  logic start;  // of the layer's loops
  wire rows_ask;
  wire [31:0] rows_address, rows_words;
  wire burst_end = read_data_valid && state != RUN && left == 32'd1;
  wire write_end = write_data_valid && write_data_ready && written + 32'd1 == result_words;
  assign read_valid = state == RUN ? rows_ask : state != IDLE && !asked;
  assign read_address = state == FETCH ? next : state == LOAD ? weights : state == SEARCH ? table_address : rows_address;
  assign read_words = state == FETCH ? 32'(DESCRIPTOR_WORDS) : state == LOAD ? weight_words
                    : state == SEARCH ? table_words : rows_words;
  assign done = state == IDLE;
  assign layer_done = state == RUN && write_end;

  logic write_asked;
  assign write_valid = state == RUN && !write_asked;
  assign write_address = result;
  assign write_words = result_words;

  always_ff @(posedge clk) begin
    if (rst) begin
      state <= IDLE;
      asked <= 1'b0;
      start <= 1'b0;
      write_asked <= 1'b0;
      next <= '0;
      left <= '0;
      written <= '0;
    end else begin
      start <= 1'b0;
      if (read_valid && read_ready && state != RUN) begin
        asked <= 1'b1;
        left  <= read_words;
      end
      if (read_data_valid && state != RUN) left <= left - 32'd1;
      case (state)
        IDLE:
        if (go) begin
          state <= FETCH;
          next  <= program_address;
        end
        FETCH:
        if (burst_end) begin
          state <= LOAD;
          asked <= 1'b0;
          next  <= next + 32'(DESCRIPTOR_WORDS);
        end
        LOAD:
        if (burst_end) begin
          state <= SEARCH;
          asked <= 1'b0;
        end
        SEARCH:
        if (burst_end) begin
          state <= RUN;
          asked <= 1'b0;
          start <= 1'b1;
          written <= '0;
          write_asked <= 1'b0;
        end
        default: begin
          if (write_valid && write_ready) write_asked <= 1'b1;
          if (write_data_valid && write_data_ready) written <= written + 32'd1;
          if (write_end) state <= last ? IDLE : FETCH;
        end
      endcase
    end
  end

  // what is loaded: words go into the descriptor from above, the first one lowest in the end
  logic [PE_BITS-1:0] weight_pe;
  logic [DEEP-1:0] weight_place;
  wire weight_write = read_data_valid && state == LOAD;
  always_ff @(posedge clk) begin
    if (read_data_valid && state == FETCH) descriptor <= (DESCRIPTOR_WORDS * WORD)'({read_data, descriptor} >> WORD);
    if (state != LOAD) begin
      weight_pe <= '0;
      weight_place <= '0;
    end else if (weight_write) begin
      weight_pe <= weight_pe == PE_BITS'(PE - 1) ? '0 : weight_pe + 1'b1;
      if (weight_pe == PE_BITS'(PE - 1)) weight_place <= weight_place + 1'b1;
    end
  end

  localparam ENTRY = ENTRY_WORDS * WORD;
  localparam PLACE = GROUP + LEVELS - 1;
  logic [ENTRY-1:0] entry;
  logic [7:0] entry_part;
  logic [LANE_BITS-1:0] entry_lane;
  logic [PLACE:0] entry_place;
  logic [3:0] entry_level;
  logic entry_write;
  logic [LANE_BITS-1:0] write_lane;
  logic [PLACE-1:0] write_place;
  logic [3:0] write_level;
  wire entry_end = entry_part == 8'(ENTRY_WORDS - 1);
  wire lane_end = entry_end && entry_lane == LANE_BITS'(LANES - 1);
  wire level_end = lane_end && entry_place == ((PLACE + 1)'(groups) << entry_level) - 1'b1;
  always_ff @(posedge clk) begin
    entry_write <= read_data_valid && state == SEARCH && entry_end && !rst;
    write_lane  <= entry_lane;
    write_place <= entry_place[PLACE-1:0];
    write_level <= entry_level;
    if (read_data_valid && state == SEARCH) entry <= ENTRY'({read_data, entry} >> WORD);
    if (state != SEARCH) begin
      entry_part <= '0;
      entry_lane <= '0;
      entry_place <= '0;
      entry_level <= '0;
    end else if (read_data_valid) begin
      entry_part <= entry_end ? '0 : entry_part + 8'd1;
      if (entry_end) entry_lane <= lane_end ? '0 : entry_lane + 1'b1;
      if (lane_end) entry_place <= level_end ? '0 : entry_place + 1'b1;
      if (level_end) entry_level <= entry_level + 4'd1;
    end
  end

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
      .granted(read_ready && state == RUN),
      .data(read_data),
      .data_valid(read_data_valid && state == RUN),
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

  wire [LANES*ACC_BITS-1:0] totals, codes;
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
      .rst(rst || state != RUN),
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
      .write_word(read_data),
      .totals(totals),
      .totals_valid(totals_valid)
  );

  // groups of LANES channels through the search
  logic [GROUP-1:0] group;
  always_ff @(posedge clk) begin
    if (state != RUN) group <= '0;
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
          .write(entry_write && write_lane == LANE_BITS'(l)),
          .level(write_level),
          .address(write_place),
          .word(entry[ACC_BITS:0])
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
  always_ff @(posedge clk) on_the_way <= state != RUN ? '0 : (2 * LEVELS + 1)'({on_the_way, totals_valid});

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
      .rst(rst || state != RUN),
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
  wire leaves = write_data_valid && write_data_ready;
  assign room = 16'(reserved) + 16'(out_planes) <= 16'(QUEUE);
  always_ff @(posedge clk) begin
    if (state != RUN) reserved <= '0;
    else reserved <= reserved + ($clog2(QUEUE + 1))'(reserve ? out_planes : 5'd0) - ($clog2(QUEUE + 1))'(leaves);
  end
  wire queue_ready, queue_valid;
  assign write_data_valid = queue_valid && write_asked;
  fifo #(
      .WIDTH(WORD),
      .DEPTH(QUEUE)
  ) u_queue (
      .clk(clk),
      .rst(rst),
      .in_data(packed_word),
      .in_valid(packed_valid),
      .in_ready(queue_ready),
      .out_data(write_data),
      .out_valid(queue_valid),
      .out_ready(write_data_ready && write_asked)
  );
  wire unused = &{1'b0, queue_ready, groups, entry, offset};
endmodule
