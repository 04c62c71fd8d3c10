// SPDX-License-Identifier: Apache-2.0
// Enlarges an image: every pixel becomes FACTOR_H x FACTOR_W pixels, copies of it or itself and zeros; then pads are added, or cut.
//
//   out(y, x) = in((y - PAD_TOP) / FACTOR_H, (x - PAD_LEFT) / FACTOR_W)   where that is a pixel, and REPEAT or nothing is left over;
//               0 elsewhere
//
// A pixel is FOLDS beats. One row is kept, so that it can be read FACTOR_H times. Latency: 2 cycles after a row is whole (REPEAT
// and FACTOR_H > 1) ; throughput 1 beat out a cycle. Reset forgets the row. Negative pads cut rows and columns.
module upsample #(
    parameter HEIGHT = 4,
    parameter WIDTH = 4,
    parameter FOLDS = 1,
    parameter BEAT = 8,
    parameter FACTOR_H = 2,
    parameter FACTOR_W = 2,
    parameter REPEAT = 0,
    parameter signed [31:0] PAD_TOP = 0,
    parameter signed [31:0] PAD_LEFT = 0,
    parameter OUT_HEIGHT = 8,
    parameter OUT_WIDTH = 8
) (
    input  logic            clk,
    input  logic            rst,        // synchronous, active high
    input  logic [BEAT-1:0] in_data,
    input  logic            in_valid,
    output logic            in_ready,
    output logic [BEAT-1:0] out_data,
    output logic            out_valid,
    input  logic            out_ready
);
  localparam ROW = WIDTH * FOLDS;
  localparam PLACE = $clog2(2 * ROW) > 0 ? $clog2(2 * ROW) : 1;
  localparam LINE = $clog2(HEIGHT + OUT_HEIGHT + 2) + 2;
  localparam SIDE = $clog2(WIDTH + OUT_WIDTH + 2) + 2;
  localparam FOLD = $clog2(FOLDS) > 0 ? $clog2(FOLDS) : 1;
  localparam PART_H = $clog2(FACTOR_H) > 0 ? $clog2(FACTOR_H) : 1;
  localparam PART_W = $clog2(FACTOR_W) > 0 ? $clog2(FACTOR_W) : 1;

  // two rows, so that one comes in while the other is read
  logic [BEAT-1:0] rows[0:2*ROW-1];
  logic [1:0] whole;  // which of the two wait to be read
  logic write_row, read_row;
  logic [PLACE-1:0] write_place;

  wire write = in_valid && in_ready;
  wire write_end = write && write_place == PLACE'(ROW - 1);
  assign in_ready = !whole[write_row];

  // reader: where in the enlarged image it stands
  logic [$clog2(OUT_HEIGHT+1)-1:0] y;
  logic [$clog2(OUT_WIDTH+1)-1:0] x;
  logic [FOLD-1:0] fold;
  logic signed [LINE-1:0] line;  // row of the input, and which of its copies
  logic [PART_H-1:0] line_part;
  logic signed [SIDE-1:0] side;
  logic [PART_W-1:0] side_part;

  localparam signed [31:0] TOP = -PAD_TOP;  // of the enlarged image, may be negative
  localparam signed [31:0] LEFT = -PAD_LEFT;
  function automatic signed [31:0] floor_of(input signed [31:0] a, input signed [31:0] b);
    floor_of = a >= 0 ? a / b : -((-a + b - 1) / b);
  endfunction
  localparam signed [31:0] LINE_0 = floor_of(TOP, FACTOR_H);
  localparam signed [31:0] SIDE_0 = floor_of(LEFT, FACTOR_W);
  localparam [31:0] LINE_PART_0 = TOP - LINE_0 * FACTOR_H;
  localparam [31:0] SIDE_PART_0 = LEFT - SIDE_0 * FACTOR_W;

  wire row_there = line >= 0 && line < LINE'(HEIGHT);
  wire in_image = row_there && side >= 0 && side < SIDE'(WIDTH);
  wire shown = in_image && (REPEAT != 0 || (line_part == '0 && side_part == '0));
  logic skipping;  // rows that come in and are not shown: in front of a cut image, or behind it

  wire ready_row = !row_there || whole[read_row];
  wire step = !skipping && ready_row && (!out_valid || out_ready);
  wire fold_end = fold == FOLD'(FOLDS - 1);
  wire row_end = fold_end && x == ($clog2(OUT_WIDTH + 1))'(OUT_WIDTH - 1);
  wire image_end = row_end && y == ($clog2(OUT_HEIGHT + 1))'(OUT_HEIGHT - 1);
  wire line_end = row_end && line_part == PART_H'(FACTOR_H - 1);

  // rows of the image that have been let go
  logic [LINE-2:0] gone;
  wire skip_row = skipping && whole[read_row];
  wire let_go = (step && row_there && (line_end || image_end)) || skip_row;
  wire [LINE-2:0] gone_then = gone + (LINE - 1)'(let_go);

  localparam [LINE-2:0] BEFORE = (LINE - 1)'(LINE_0 > 0 ? LINE_0 : 0);

  wire [PLACE-1:0] read_place = (read_row ? PLACE'(ROW) : '0) + PLACE'(side) * PLACE'(FOLDS) + PLACE'(fold);
  logic [BEAT-1:0] word;
  logic filled;
  assign out_data = filled ? '0 : word;

  logic finished;  // the image's last pixel is out; its rest is skipped
  always_ff @(posedge clk) begin
    if (write) rows[(write_row ? PLACE'(ROW) : '0) + write_place] <= in_data;
    if (step) begin
      word   <= rows[shown ? read_place : '0];
      filled <= !shown;
    end
    if (rst) begin
      write_row <= 1'b0;
      write_place <= '0;
      read_row <= 1'b0;
      whole <= '0;
      out_valid <= 1'b0;
      y <= '0;
      x <= '0;
      fold <= '0;
      line <= LINE'(LINE_0);
      line_part <= PART_H'(LINE_PART_0);
      side <= SIDE'(SIDE_0);
      side_part <= PART_W'(SIDE_PART_0);
      gone <= '0;
      skipping <= BEFORE != '0;
      finished <= 1'b0;
    end else begin
      if (write) write_place <= write_end ? '0 : write_place + 1'b1;
      if (write_end) begin
        whole[write_row] <= 1'b1;
        write_row <= !write_row;
      end
      if (let_go) begin
        whole[read_row] <= 1'b0;
        read_row <= !read_row;
      end
      if (out_ready) out_valid <= 1'b0;
      if (step) begin
        out_valid <= 1'b1;
        fold <= fold_end ? '0 : fold + 1'b1;
        if (fold_end) begin
          x <= row_end ? '0 : x + 1'b1;
          side_part <= row_end ? PART_W'(SIDE_PART_0) : side_part == PART_W'(FACTOR_W - 1) ? '0 : side_part + 1'b1;
          if (row_end) side <= SIDE'(SIDE_0);
          else if (side_part == PART_W'(FACTOR_W - 1)) side <= side + 1'b1;
        end
        if (row_end) begin
          y <= image_end ? '0 : y + 1'b1;
          line_part <= image_end ? PART_H'(LINE_PART_0) : line_end ? '0 : line_part + 1'b1;
          line <= image_end ? LINE'(LINE_0) : line_end ? line + 1'b1 : line;
        end
      end
      // after the last pixel all rows left must go, before the first the cut ones
      gone <= gone_then;
      if (image_end && step) begin
        if (gone_then == (LINE - 1)'(HEIGHT)) begin
          gone <= '0;
          skipping <= BEFORE != '0;
        end else begin
          finished <= 1'b1;
          skipping <= 1'b1;
        end
      end else if (skip_row) begin
        if (finished && gone_then == (LINE - 1)'(HEIGHT)) begin
          finished <= 1'b0;
          gone <= '0;
          skipping <= BEFORE != '0;
        end else if (!finished && gone_then == BEFORE) begin
          skipping <= 1'b0;
        end
      end
    end
  end
endmodule
