// SPDX-License-Identifier: Apache-2.0
// The loops of a layer: which word of the ring and which word of weights meet in which cycle.
//
//   for row, column of the result, for pooling tap, for out fold of PE channels, for pair of digits, for tap, for fold:
//     y = row*advance_h - pad_top + pool_y*step_h + tap_y*dilation_h          x likewise
//     number = ring word of (y >> up_h, x >> up_w), or the code of zero where that is no pixel, or one between pixels
//
// Pairs (j of the weights, k of the numbers) come in order of falling j + k, so that one shift by a digit between them is all
// that Horner's rule wants. An out fold takes max(beats, floor) cycles; it begins when its rows are there and `room` says that the
// words it will fill have where to go. A diagonal layer meets only the fold of each source whose channels it makes.
// Latency 5 cycles from a beat's turn to its addresses; throughput 1 beat a cycle. Reset ends the layer, `start` begins one.
module unit_loops #(
    parameter RATIO = 1,  // SIMD / PE
    parameter RING = 10,  // bits of an address of the ring
    parameter DEEP = 10   // bits of an address of the weights
) (
    input  logic            clk,
    input  logic            rst,
    input  logic            start,
    input  logic [    15:0] height,
    input  logic [    15:0] width,
    input  logic [     1:0] up_h,      // pixels are 2^up_h rows apart
    input  logic [     1:0] up_w,
    input  logic            repeats,   // a pixel fills the rows and columns up to the next
    input  logic [     7:0] kernel_h,
    input  logic [     7:0] kernel_w,
    input  logic [     7:0] dilation_h,
    input  logic [     7:0] dilation_w,
    input  logic [     7:0] pad_top,
    input  logic [     7:0] pad_left,
    input  logic [     7:0] step_h,
    input  logic [     7:0] step_w,
    input  logic [     7:0] pool_h,
    input  logic [     7:0] pool_w,
    input  logic [     7:0] advance_h,
    input  logic [     7:0] advance_w,
    input  logic [    15:0] reach_h,   // from a row's first tap to its last
    input  logic [    15:0] out_height,
    input  logic [    15:0] out_width,
    input  logic [     7:0] out_folds,
    input  logic [     2:0] digits,    // of a weight
    input  logic [     2:0] planes,    // digits of a number
    input  logic [     7:0] fill,      // code of zero
    input  logic            diagonal,
    input  logic [     7:0] folds1,
    input  logic [     7:0] folds2,
    input  logic [     7:0] slots,
    input  logic [    15:0] row_words,
    input  logic [    15:0] pixel_words,
    input  logic [    15:0] beats,     // of a pair of digits
    input  logic [    15:0] fold_words,  // of weights, of an out fold
    input  logic [     7:0] floor,
    input  logic [    15:0] loaded,    // rows
    output logic [    15:0] held,      // the first row that is still wanted
    input  logic            room,
    output logic            reserve,   // an out fold begins that will fill a word
    output logic [RING-1:0] ring_address,
    output logic [DEEP-1:0] weight_address,
    output logic            filled,    // with the addresses: no pixel, but zero
    output logic [     1:0] fill_digit,
    output logic            first,     // of an out fold
    output logic            shift,
    output logic            valid,
    output logic            last,
    output logic            first_sum,  // the same for the sum of numbers, which takes the lowest digit of weights only
    output logic            valid_sum
);
  localparam RATIO_BITS = $clog2(RATIO);

  // counters
  logic running, in_fold;  // in_fold: past the first beat of an out fold
  logic [15:0] row, column, beat;
  logic [7:0] pool_y, pool_x, out_fold, tap_y, tap_x, fold;
  logic [2:0] j, k;
  logic [3:0] s;  // j + k
  logic shifted;  // a pair of a lower sum has begun
  logic [7:0] timer;
  logic [15:0] j_words, fold_base;
  logic signed [17:0] y_row, y_pool, y_tap, x_column, x_pool, x_tap;
  logic [7:0] slot_row;  // slot of the first row that is wanted

  wire [7:0] folds = diagonal ? (folds2 != '0 ? 8'd2 : 8'd1) : folds1 + folds2;
  wire fold_end = fold == folds - 8'd1;
  wire tap_x_end = fold_end && tap_x == kernel_w - 8'd1;
  wire pair_end = tap_x_end && tap_y == kernel_h - 8'd1;
  wire same_sum = j + 3'd1 < digits && k != '0;
  wire fold_done = pair_end && s == '0;
  wire out_end = fold_done && out_fold == out_folds - 8'd1;
  wire pool_x_end = out_end && pool_x == pool_w - 8'd1;
  wire pool_end = pool_x_end && pool_y == pool_h - 8'd1;
  wire row_end = pool_end && column == out_width - 16'd1;
  wire layer_end = row_end && row == out_height - 16'd1;
  wire last_pool = pool_x == pool_w - 8'd1 && pool_y == pool_h - 8'd1;
  wire fills = last_pool && (out_fold == out_folds - 8'd1 || (out_fold & 8'(RATIO - 1)) == 8'(RATIO - 1));

  // rows
  function automatic [15:0] row_of(input signed [17:0] y, input [1:0] up);  // 0 where y lies above the image
    row_of = y < 0 ? 16'd0 : 16'(y >>> up);
  endfunction
  wire signed [17:0] y_end = y_row + 18'(reach_h);
  wire [15:0] rows = y_end < 0 ? 16'd0 : row_of(y_end, up_h) + 16'd1;
  wire there = loaded >= (rows < height ? rows : height);
  wire [15:0] wanted = row_of(y_row, up_h);
  wire signed [17:0] y_next = y_row + 18'(advance_h);
  wire [15:0] gone = row_of(y_next, up_h) - wanted;
  wire [8:0] slot_next = 9'(slot_row) + gone[8:0];
  delay #(
      .WIDTH (16),
      .CYCLES(8)  // beats on the way still read the rows before
  ) u_held (
      .clk(clk),
      .in (running ? wanted : 16'd0),
      .out(held)
  );

  wire begins = running && !in_fold;
  wire issue = running && (in_fold || (timer == '0 && there && (room || !fills)));
  assign reserve = issue && begins && fills;
  wire [3:0] highest = 4'(digits) + 4'(planes) - 4'd2;
  wire [3:0] s_next = s - 4'd1;
  wire [3:0] j_next = s_next >= 4'(planes) ? s_next - 4'(planes) + 4'd1 : 4'd0;
  wire [3:0] k_next = s_next - j_next;

  always_ff @(posedge clk) begin
    if (rst || start) begin
      running <= start && !rst;
      in_fold <= 1'b0;
      row <= '0;
      column <= '0;
      beat <= '0;
      pool_y <= '0;
      pool_x <= '0;
      out_fold <= '0;
      tap_y <= '0;
      tap_x <= '0;
      fold <= '0;
      s <= highest;
      j <= digits - 3'd1;
      k <= planes - 3'd1;
      shifted <= 1'b0;
      timer <= '0;
      fold_base <= '0;
      y_row <= 18'd0 - 18'(pad_top);
      x_column <= 18'd0 - 18'(pad_left);
      y_pool <= '0;
      x_pool <= '0;
      y_tap <= '0;
      x_tap <= '0;
      slot_row <= '0;
    end else begin
      if (issue && begins) timer <= floor - 8'd1;
      else if (timer != '0) timer <= timer - 8'd1;
      if (issue) begin
        in_fold <= !fold_done;
        fold <= fold_end ? '0 : fold + 8'd1;
        beat <= pair_end ? '0 : beat + 16'd1;
        shifted <= pair_end && !same_sum && !fold_done;
        if (fold_end) begin
          tap_x <= tap_x_end ? '0 : tap_x + 8'd1;
          x_tap <= tap_x_end ? '0 : x_tap + 18'(dilation_w);
        end
        if (tap_x_end) begin
          tap_y <= pair_end ? '0 : tap_y + 8'd1;
          y_tap <= pair_end ? '0 : y_tap + 18'(dilation_h);
        end
        if (fold_done) begin
          s <= highest;
          j <= digits - 3'd1;
          k <= planes - 3'd1;
          out_fold <= out_end ? '0 : out_fold + 8'd1;
          fold_base <= out_end ? '0 : fold_base + fold_words;
        end else if (pair_end) begin
          s <= same_sum ? s : s_next;
          j <= same_sum ? j + 3'd1 : 3'(j_next);
          k <= same_sum ? k - 3'd1 : 3'(k_next);
        end
        if (out_end) begin
          pool_x <= pool_x_end ? '0 : pool_x + 8'd1;
          x_pool <= pool_x_end ? '0 : x_pool + 18'(step_w);
        end
        if (pool_x_end) begin
          pool_y <= pool_end ? '0 : pool_y + 8'd1;
          y_pool <= pool_end ? '0 : y_pool + 18'(step_h);
        end
        if (pool_end) begin
          column   <= row_end ? '0 : column + 16'd1;
          x_column <= row_end ? 18'd0 - 18'(pad_left) : x_column + 18'(advance_w);
        end
        if (row_end) begin
          row <= row + 16'd1;
          y_row <= y_next;
          slot_row <= slot_next >= 9'(slots) ? 8'(slot_next - 9'(slots)) : 8'(slot_next);
        end
        if (layer_end) running <= 1'b0;
      end
    end
  end

  // addresses
  logic signed [17:0] y_1, x_1;
  logic [15:0] wanted_1, words_1;
  logic [7:0] slot_1, fold_1;
  logic [2:0] k_1;
  logic [15:0] relative_2, column_2, offset_2, column_3, offset_3;
  logic filled_2;
  logic [7:0] slot_2, slot_3;
  logic [RING-1:0] row_4, pixel_4;
  logic [2:0] k_2;
  wire [1:0] mask_h = ~(2'b11 << up_h);
  wire [1:0] mask_w = ~(2'b11 << up_w);
  wire between = (y_1[1:0] & mask_h) != '0 || (x_1[1:0] & mask_w) != '0;
  wire [15:0] y_pixel = 16'(y_1 >>> up_h);
  wire [15:0] x_pixel = 16'(x_1 >>> up_w);
  wire outside = y_1 < 0 || x_1 < 0 || y_pixel >= height || x_pixel >= width;
  wire [16:0] slot_sum = 17'(slot_2) + 17'(relative_2);
  wire [23:0] row_product = 24'(slot_3) * 24'(row_words);
  wire [31:0] pixel_product = 32'(column_3) * 32'(pixel_words);
  always_ff @(posedge clk) begin
    y_1 <= y_row + y_pool + y_tap;
    x_1 <= x_column + x_pool + x_tap;
    wanted_1 <= wanted;
    slot_1 <= slot_row;
    fold_1 <= diagonal ? (out_fold >> RATIO_BITS) + (fold != '0 ? folds1 : 8'd0) : fold;
    k_1 <= k;
    words_1 <= fold_base + beat;
    j_words <= 16'(j) * beats;

    filled_2 <= outside || (between && !repeats);
    relative_2 <= y_pixel - wanted_1;
    column_2 <= x_pixel;
    offset_2 <= 16'(fold_1) * 16'(planes) + 16'(k_1);
    slot_2 <= slot_1;
    k_2 <= k_1;

    slot_3 <= 8'(slot_sum >= 17'(slots) ? slot_sum - 17'(slots) : slot_sum);
    column_3 <= column_2;
    offset_3 <= offset_2;

    row_4 <= RING'(row_product);
    pixel_4 <= RING'(pixel_product) + RING'(offset_3);

    ring_address <= row_4 + pixel_4;
  end
  delay #(
      .WIDTH (DEEP),
      .CYCLES(4)
  ) u_weights (
      .clk(clk),
      .in (DEEP'(words_1 + j_words)),
      .out(weight_address)
  );
  wire [7:0] fill_2 = fill >> {k_2[1:0], 1'b0};
  delay #(
      .WIDTH (3),
      .CYCLES(3)
  ) u_fill (
      .clk(clk),
      .in ({filled_2, fill_2[1:0]}),
      .out({filled, fill_digit})
  );
  delay #(
      .WIDTH (6),
      .CYCLES(5)
  ) u_flags (
      .clk(clk),
      .in ({
        issue && begins,
        shifted,
        issue,
        issue && fold_done,
        j == '0 && k == planes - 3'd1 && beat == '0,
        issue && j == '0
      }),
      .out({first, shift, valid, last, first_sum, valid_sum})
  );
  wire unused = &{1'b0, k_2[2], fill_2, offset_3, j_next[3], k_next[3], gone[15:9], row_product[23:RING < 23 ? RING : 23],
                  pixel_product[31:RING < 31 ? RING : 31], words_1[15:DEEP < 15 ? DEEP : 15]};
endmodule
