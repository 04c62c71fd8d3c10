// SPDX-License-Identifier: Apache-2.0
// Sliding windows over an image that comes in row by row.
//
//   for oy, ox, ky, kx, fold:  out = pixel(oy*STRIDE_H - PAD_TOP + ky*DILATION_H, ox*STRIDE_W - PAD_LEFT + kx*DILATION_W), fold
//
// where a pixel outside the image is FILL. A pixel comes as FOLDS beats of channels; so does every tap of a window. COLUMN = 1:
// one beat holds that fold of all KERNEL_H taps of a column, the top one lowest; the order is then oy, ox, kx, fold. ROWS rows are
// kept in a ring; row r of all images together lies at r mod ROWS, so the next image may come in while the last one is read.
//
// Latency: the rows of the first window, and 2 cycles, 3 with COLUMN. Throughput: 1 beat a cycle in and out, while the ring has room.
// Reset forgets all rows. ROWS must be at least DILATION_H*(KERNEL_H-1) + 1; STRIDE_H more let rows come in while others are read.
module window #(
    parameter HEIGHT = 4,
    parameter WIDTH = 4,
    parameter FOLDS = 1,
    parameter BEAT = 8,  // bits
    parameter KERNEL_H = 3,
    parameter KERNEL_W = 3,
    parameter STRIDE_H = 1,
    parameter STRIDE_W = 1,
    parameter DILATION_H = 1,
    parameter DILATION_W = 1,
    parameter PAD_TOP = 1,
    parameter PAD_LEFT = 1,
    parameter OUT_HEIGHT = 4,
    parameter OUT_WIDTH = 4,
    parameter ROWS = 4,
    parameter COLUMN = 0,
    parameter [BEAT-1:0] FILL = '0,
    localparam TAPS = COLUMN != 0 ? KERNEL_H : 1  // in a beat
) (
    input  logic            clk,
    input  logic            rst,            // synchronous, active high
    input  logic [BEAT-1:0] in_data,
    input  logic            in_valid,
    output logic            in_ready,
    output logic [TAPS*BEAT-1:0] out_data,
    output logic            out_valid,
    input  logic            out_ready
);
  localparam ROW = WIDTH * FOLDS;  // beats
  localparam BANKS = COLUMN != 0 ? ROWS : 1;  // memories: one a row, where several rows are read at once
  localparam DEPTH = ROWS * ROW / BANKS;
  localparam ADDRESS = $clog2(DEPTH) > 0 ? $clog2(DEPTH) : 1;
  localparam BANK = $clog2(BANKS) > 0 ? $clog2(BANKS) : 1;
  localparam LINE = $clog2(2 * (HEIGHT + ROWS) + KERNEL_H * DILATION_H + PAD_TOP + STRIDE_H) + 2;  // signed rows
  localparam SIDE = $clog2(WIDTH + KERNEL_W * DILATION_W + PAD_LEFT + STRIDE_W) + 2;  // signed columns
  localparam SLOT = $clog2(ROWS) > 0 ? $clog2(ROWS) : 1;
  localparam BEATS = $clog2(ROW) > 0 ? $clog2(ROW) : 1;
  localparam FOLD = $clog2(FOLDS) > 0 ? $clog2(FOLDS) : 1;
  localparam [SLOT-1:0] FIRST_SLOT = SLOT'((ROWS - PAD_TOP % ROWS) % ROWS);  // of row -PAD_TOP

  // Rows that are whole, counted from the first row that the reader still needs; negative where it needs none of those.
  logic signed [LINE-1:0] ahead;

  // writer
  logic [BANK-1:0] write_bank;
  logic [ADDRESS-1:0] write_at;
  logic [BEATS-1:0] write_beat;  // of the row
  wire write = in_valid && in_ready;
  wire row_done = write && write_beat == BEATS'(ROW - 1);
  assign in_ready = ahead < LINE'(ROWS);

  always_ff @(posedge clk) begin
    if (rst) begin
      write_bank <= '0;
      write_at   <= '0;
      write_beat <= '0;
    end else if (write) begin
      write_at   <= write_at == ADDRESS'(DEPTH - 1) ? '0 : write_at + 1'b1;
      write_beat <= row_done ? '0 : write_beat + 1'b1;
      if (row_done) write_bank <= write_bank == BANK'(BANKS - 1) ? '0 : write_bank + 1'b1;
    end
  end

  // reader
  logic signed [LINE-1:0] top, line;  // row of the window's first tap, of this tap
  logic signed [SIDE-1:0] left, side;  // column of the window's first tap, of this tap
  logic [$clog2(OUT_HEIGHT+1)-1:0] out_row;
  logic [$clog2(OUT_WIDTH+1)-1:0] out_column;
  logic [$clog2(KERNEL_H+1)-1:0] tap_row;
  logic [$clog2(KERNEL_W+1)-1:0] tap_column;
  logic [FOLD-1:0] fold;
  logic [SLOT-1:0] top_slot, line_slot;  // where those rows lie in the ring, or would lie
  logic read_valid;  // a word has been read
  wire given;  // and goes on

  localparam signed [LINE-1:0] REACH = LINE'(DILATION_H * (KERNEL_H - 1));
  localparam signed [LINE-1:0] BOTTOM = LINE'(HEIGHT - 1);
  wire signed [LINE-1:0] first = top < 0 ? '0 : (top > BOTTOM ? BOTTOM : top);
  wire signed [LINE-1:0] last = top + REACH > BOTTOM ? BOTTOM : (top + REACH < 0 ? '0 : top + REACH);
  wire rows_there = ahead > last - first;
  wire side_there = side >= 0 && side < SIDE'(WIDTH);

  wire fold_end = fold == FOLD'(FOLDS - 1);
  wire column_end = fold_end && tap_column == ($clog2(KERNEL_W + 1))'(KERNEL_W - 1);
  wire window_end = column_end && tap_row == ($clog2(KERNEL_H + 1))'(COLUMN != 0 ? 0 : KERNEL_H - 1);
  wire row_end = window_end && out_column == ($clog2(OUT_WIDTH + 1))'(OUT_WIDTH - 1);
  wire image_end = row_end && out_row == ($clog2(OUT_HEIGHT + 1))'(OUT_HEIGHT - 1);

  wire step = rows_there && (!read_valid || given);

  // the first row that the next window row needs, of this image or the next
  wire signed [LINE-1:0] next_top = image_end ? -LINE'(PAD_TOP) : top + LINE'(STRIDE_H);
  wire signed [LINE-1:0] next_first = image_end ? LINE'(HEIGHT) : (next_top < 0 ? '0 : (next_top > BOTTOM ? BOTTOM : next_top));
  wire signed [LINE-1:0] released = next_first - first;

  // rows of all images lie behind one another in the ring
  localparam JUMP = (HEIGHT - (OUT_HEIGHT - 1) * STRIDE_H) % ROWS;  // from the last window's top row to that of the next image
  function automatic [SLOT-1:0] slot_behind(input [SLOT-1:0] from, input integer distance);  // of less than ROWS
    slot_behind = 32'(from) >= ROWS - distance ? SLOT'(32'(from) + distance - ROWS) : from + SLOT'(distance);
  endfunction
  wire [SLOT-1:0] next_slot = slot_behind(top_slot, image_end ? (JUMP + ROWS) % ROWS : STRIDE_H % ROWS);

  function automatic [ADDRESS-1:0] beginning_of(input [SLOT-1:0] slot);  // slot * ROW: a table, where tools take a multiplier
    integer r;
    begin
      beginning_of = '0;
      for (r = 1; r < ROWS; r = r + 1) if (slot == SLOT'(r)) beginning_of = ADDRESS'(r * ROW);
    end
  endfunction

  wire [ADDRESS-1:0] place = side_there ? ADDRESS'(side) * ADDRESS'(FOLDS) + ADDRESS'(fold) : '0;  // in the row
  wire [BANKS*BEAT-1:0] words;
  wire [TAPS-1:0] in_image;

  genvar tap, bank;
  generate
    for (bank = 0; bank < BANKS; bank = bank + 1) begin : gen_bank
      wire [ADDRESS-1:0] read_at;
      if (COLUMN != 0) begin : gen_row
        assign read_at = place;
      end else begin : gen_ring
        assign read_at = in_image[0] ? beginning_of(line_slot) + place : '0;
      end
      logic [BEAT-1:0] ring[0:DEPTH-1];
      logic [BEAT-1:0] word;
      always_ff @(posedge clk) begin
        if (write && write_bank == BANK'(bank)) ring[write_at] <= in_data;
        if (step) word <= ring[read_at];
      end
      assign words[bank*BEAT+:BEAT] = word;
    end
    for (tap = 0; tap < TAPS; tap = tap + 1) begin : gen_tap
      wire signed [LINE-1:0] row = line + LINE'(tap * DILATION_H);
      assign in_image[tap] = row >= 0 && row <= BOTTOM && side_there;
      logic filled;
      always_ff @(posedge clk) if (step) filled <= !in_image[tap];
      if (COLUMN != 0) begin : gen_choice  // a register of its own: what stands outside is its reset
        logic [SLOT-1:0] choice;
        logic [BEAT-1:0] chosen;
        always_ff @(posedge clk) begin
          if (step) choice <= slot_behind(top_slot, tap * DILATION_H % ROWS);
          if (given) chosen <= filled ? FILL : words[choice*BEAT+:BEAT];
        end
        assign out_data[tap*BEAT+:BEAT] = chosen;
      end else begin : gen_only
        assign out_data = filled ? FILL : words;
      end
    end
  endgenerate

  generate
    if (COLUMN != 0) begin : gen_late
      logic chosen_valid;
      always_ff @(posedge clk) begin
        if (rst) chosen_valid <= 1'b0;
        else if (given) chosen_valid <= read_valid;
      end
      assign given = !chosen_valid || out_ready;
      assign out_valid = chosen_valid;
      wire unused = &{1'b0, line_slot};
    end else begin : gen_early
      assign given = out_ready;
      assign out_valid = read_valid;
    end
  endgenerate

  always_ff @(posedge clk) begin
    if (rst) begin
      read_valid <= 1'b0;
      top <= -LINE'(PAD_TOP);
      line <= -LINE'(PAD_TOP);
      left <= -SIDE'(PAD_LEFT);
      side <= -SIDE'(PAD_LEFT);
      out_row <= '0;
      out_column <= '0;
      tap_row <= '0;
      tap_column <= '0;
      fold <= '0;
      top_slot <= FIRST_SLOT;
      line_slot <= FIRST_SLOT;
    end else begin
      if (given) read_valid <= 1'b0;
      if (step) begin
        read_valid <= 1'b1;
        fold <= fold_end ? '0 : fold + 1'b1;
        if (fold_end) begin
          tap_column <= column_end ? '0 : tap_column + 1'b1;
          side <= column_end ? left : side + SIDE'(DILATION_W);
        end
        if (column_end) begin
          tap_row <= window_end ? '0 : tap_row + 1'b1;
          line <= window_end ? top : line + LINE'(DILATION_H);
          line_slot <= window_end ? top_slot : slot_behind(line_slot, DILATION_H % ROWS);
        end
        if (window_end) begin
          out_column <= row_end ? '0 : out_column + 1'b1;
          left <= row_end ? -SIDE'(PAD_LEFT) : left + SIDE'(STRIDE_W);
          side <= row_end ? -SIDE'(PAD_LEFT) : left + SIDE'(STRIDE_W);
        end
        if (row_end) begin
          out_row <= image_end ? '0 : out_row + 1'b1;
          top <= next_top;
          line <= next_top;
          top_slot <= next_slot;
          line_slot <= next_slot;
        end
      end
    end
  end

  always_ff @(posedge clk) begin
    if (rst) ahead <= '0;
    else ahead <= ahead + (row_done ? LINE'(1) : '0) - (step && row_end ? released : '0);
  end
endmodule
