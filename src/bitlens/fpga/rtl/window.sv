// SPDX-License-Identifier: Apache-2.0
// Sliding windows over an image that comes in row by row.
//
//   for oy, ox, ky, kx, fold:  out = pixel(oy*STRIDE_H - PAD_TOP + ky*DILATION_H, ox*STRIDE_W - PAD_LEFT + kx*DILATION_W), fold
//
// where a pixel outside the image is FILL. A pixel comes as FOLDS beats of channels; so does every tap of a window. COLUMN = 1:
// one beat holds that fold of all KERNEL_H taps of a column, the top one lowest; the order is then oy, ox, kx, fold. ROWS rows are
// kept in a ring; row r of all images together lies at r mod ROWS, so the next image may come in while the last one is read.
//
// Latency: the rows of the first window, and 3 cycles. Throughput: 1 beat a cycle in and out, while the ring has room.
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
  localparam ROW_SPAN = 2 * HEIGHT + ROWS + OUT_HEIGHT * STRIDE_H + KERNEL_H * DILATION_H + PAD_TOP;
  localparam LINE = $clog2(ROW_SPAN) + 1;  // signed rows
  localparam SIDE = $clog2((WIDTH + OUT_WIDTH * STRIDE_W + KERNEL_W * DILATION_W + PAD_LEFT) * FOLDS) + 1;  // signed beats of a row
  localparam SLOT = $clog2(ROWS) > 0 ? $clog2(ROWS) : 1;
  localparam BEATS = $clog2(ROW) > 0 ? $clog2(ROW) : 1;
  localparam FOLD = $clog2(FOLDS) > 0 ? $clog2(FOLDS) : 1;
  localparam [SLOT-1:0] FIRST_SLOT = SLOT'((ROWS - PAD_TOP % ROWS) % ROWS);  // of row -PAD_TOP

  // Both in rows of an image, and their signs are what counts:
  logic signed [LINE-1:0] lead;  // whole rows, less those from the first that the reader needs to the last: negative, it waits
  logic signed [LINE-1:0] excess;  // whole rows from the first that it needs on, less ROWS: negative, there is room
  wire rows_there = !lead[LINE-1];

  // writer
  logic [BANK-1:0] write_bank;
  logic [ADDRESS-1:0] write_at;
  logic [BEATS-1:0] write_beat;  // of the row
  wire write = in_valid && in_ready;
  wire row_done = write && write_beat == BEATS'(ROW - 1);
  assign in_ready = excess[LINE-1];

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
  logic signed [SIDE-1:0] left, place;  // beat in its row: the first of the window's first tap, this one
  logic [$clog2(OUT_HEIGHT+1)-1:0] out_row;
  logic [$clog2(OUT_WIDTH+1)-1:0] out_column;
  logic [$clog2(KERNEL_H+1)-1:0] tap_row;
  logic [$clog2(KERNEL_W+1)-1:0] tap_column;
  logic [FOLD-1:0] fold;
  logic [SLOT-1:0] top_slot, line_slot;  // where those rows lie in the ring, or would lie
  logic read_valid;  // a word has been read
  wire given;  // and goes on

  localparam signed [LINE-1:0] BOTTOM = LINE'(HEIGHT - 1);
  wire side_there = place >= 0 && place < SIDE'(ROW);

  wire fold_end = fold == FOLD'(FOLDS - 1);
  wire column_end = fold_end && tap_column == ($clog2(KERNEL_W + 1))'(KERNEL_W - 1);
  wire window_end = column_end && tap_row == ($clog2(KERNEL_H + 1))'(COLUMN != 0 ? 0 : KERNEL_H - 1);
  wire row_end = window_end && out_column == ($clog2(OUT_WIDTH + 1))'(OUT_WIDTH - 1);
  wire last_row = out_row == ($clog2(OUT_HEIGHT + 1))'(OUT_HEIGHT - 1);

  localparam signed [SIDE-1:0] NEXT = SIDE'((DILATION_W - 1) * FOLDS + 1);  // from a tap's last beat to the next tap
  wire signed [SIDE-1:0] next_left = left + SIDE'(STRIDE_W * FOLDS);
  wire signed [LINE-1:0] next_top = last_row ? -LINE'(PAD_TOP) : top + LINE'(STRIDE_H);
  wire step = rows_there && (!read_valid || given);
  wire turn = step && row_end;  // to the next row of windows

  // How many rows a row of windows is before the next one, by its first row that is there and by its last one: known before
  // the turn, from tables. A row that is one beat has no cycle before.
  localparam REACH = DILATION_H * (KERNEL_H - 1);
  localparam TABLE = $clog2(OUT_HEIGHT) > 0 ? $clog2(OUT_HEIGHT) : 1;
  localparam LONG = OUT_WIDTH * FOLDS * KERNEL_W * (COLUMN != 0 ? 1 : KERNEL_H) > 1 ? 1 : 0;
  function automatic integer nearest(input integer row);  // the row of the image that is nearest
    nearest = row < 0 ? 0 : row > HEIGHT - 1 ? HEIGHT - 1 : row;
  endfunction
  function automatic [LINE*(1<<TABLE)-1:0] differences(input integer tap);  // negative, as tables.sv has them; of the top row + tap
    integer r, i;
    logic [LINE-1:0] difference;
    differences = '0;
    for (r = 0; r < OUT_HEIGHT; r = r + 1) begin
      difference = LINE'(nearest(r * STRIDE_H - PAD_TOP + tap));
      if (r < OUT_HEIGHT - 1) difference = difference - LINE'(nearest((r + 1) * STRIDE_H - PAD_TOP + tap));
      else difference = difference - LINE'(HEIGHT + nearest(tap - PAD_TOP));
      for (i = 0; i < LINE; i = i + 1) differences[i*(1<<TABLE)+r] = difference[i];
    end
  endfunction
  wire [LINE-1:0] by_first_now, by_last_now;
  logic [LINE-1:0] by_first, by_last;
  tables #(
      .INPUTS(TABLE),
      .COLUMNS(LINE),
      .CONTENTS(differences(0))
  ) u_by_first (
      .index(TABLE'(out_row)),
      .out(by_first_now)
  );
  tables #(
      .INPUTS(TABLE),
      .COLUMNS(LINE),
      .CONTENTS(differences(REACH))
  ) u_by_last (
      .index(TABLE'(out_row)),
      .out(by_last_now)
  );
  generate
    if (LONG != 0) begin : gen_before
      always_ff @(posedge clk) begin
        by_first <= by_first_now;
        by_last  <= by_last_now;
      end
    end else begin : gen_now
      assign by_first = by_first_now;
      assign by_last  = by_last_now;
    end
  endgenerate

  // rows of all images lie behind one another in the ring
  localparam JUMP = (HEIGHT - (OUT_HEIGHT - 1) * STRIDE_H) % ROWS;  // from the last window's top row to that of the next image
  function automatic [SLOT-1:0] slot_behind(input [SLOT-1:0] from, input integer distance);  // of less than ROWS
    slot_behind = 32'(from) >= ROWS - distance ? SLOT'(32'(from) + distance - ROWS) : from + SLOT'(distance);
  endfunction
  wire [SLOT-1:0] next_slot = slot_behind(top_slot, last_row ? (JUMP + ROWS) % ROWS : STRIDE_H % ROWS);
  wire [SLOT-1:0] next_line_slot = row_end ? next_slot : window_end ? top_slot : slot_behind(line_slot, DILATION_H % ROWS);

  function automatic [ADDRESS-1:0] beginning_of(input [SLOT-1:0] slot);  // slot * ROW: a table, where tools take a multiplier
    integer r;
    begin
      beginning_of = '0;
      for (r = 1; r < ROWS; r = r + 1) if (slot == SLOT'(r)) beginning_of = ADDRESS'(r * ROW);
    end
  endfunction

  wire [ADDRESS-1:0] read_at;
  generate
    if (COLUMN != 0) begin : gen_in_row
      assign read_at = ADDRESS'(place);
      wire unused = &{1'b0, line_slot};
    end else begin : gen_in_ring
      logic [ADDRESS-1:0] beginning;  // of the tap's row
      always_ff @(posedge clk) begin
        if (rst) beginning <= beginning_of(FIRST_SLOT);
        else if (step && column_end) beginning <= beginning_of(next_line_slot);
      end
      assign read_at = beginning + ADDRESS'(place);
    end
  endgenerate

  wire [BANKS*BEAT-1:0] words;
  wire [TAPS-1:0] in_image;

  genvar tap, bank;
  generate
    for (bank = 0; bank < BANKS; bank = bank + 1) begin : gen_bank
      (* no_rw_check *)  // a row is read when it is whole
      logic [BEAT-1:0] ring[0:DEPTH-1];
      logic [BEAT-1:0] word;
      always_ff @(posedge clk) begin
        if (write && write_bank == BANK'(bank)) ring[write_at] <= in_data;
        if (step) word <= ring[read_at];  // anything, outside the image
      end
      assign words[bank*BEAT+:BEAT] = word;
    end
    for (tap = 0; tap < TAPS; tap = tap + 1) begin : gen_tap
      wire signed [LINE-1:0] row = line + LINE'(tap * DILATION_H);
      assign in_image[tap] = row >= 0 && row <= BOTTOM && side_there;
      logic filled;
      always_ff @(posedge clk) if (step) filled <= !in_image[tap];
      wire [BEAT-1:0] word;
      if (BANKS > 1) begin : gen_choice
        logic [SLOT-1:0] choice;
        always_ff @(posedge clk) if (step) choice <= slot_behind(top_slot, tap * DILATION_H % ROWS);
        assign word = words[choice*BEAT+:BEAT];
      end else begin : gen_only
        assign word = words;
      end
      logic [BEAT-1:0] chosen;  // what stands outside is its reset
      always_ff @(posedge clk) if (given) chosen <= filled ? FILL : word;
      assign out_data[tap*BEAT+:BEAT] = chosen;
    end
  endgenerate

  assign given = !out_valid || out_ready;
  always_ff @(posedge clk) begin
    if (rst) out_valid <= 1'b0;
    else if (given) out_valid <= read_valid;
  end

  always_ff @(posedge clk) begin
    if (rst) begin
      read_valid <= 1'b0;
      top <= -LINE'(PAD_TOP);
      line <= -LINE'(PAD_TOP);
      left <= -SIDE'(PAD_LEFT * FOLDS);
      place <= -SIDE'(PAD_LEFT * FOLDS);
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
        fold  <= fold_end ? '0 : fold + 1'b1;
        place <= row_end ? -SIDE'(PAD_LEFT * FOLDS) : window_end ? next_left : column_end ? left : place + (fold_end ? NEXT : SIDE'(1));
        if (fold_end) tap_column <= column_end ? '0 : tap_column + 1'b1;
        if (column_end) begin
          tap_row <= window_end ? '0 : tap_row + 1'b1;
          line <= window_end ? top : line + LINE'(DILATION_H);
          line_slot <= next_line_slot;
        end
        if (window_end) begin
          out_column <= row_end ? '0 : out_column + 1'b1;
          left <= row_end ? -SIDE'(PAD_LEFT * FOLDS) : next_left;
        end
        if (row_end) begin
          out_row <= last_row ? '0 : out_row + 1'b1;
          top  <= next_top;
          line <= next_top;
          top_slot <= next_slot;
        end
      end
    end
  end

  function automatic [LINE-1:0] sum(input [LINE-1:0] a, input [LINE-1:0] b, input one_more);  // one carry chain
    logic unused;
    {sum, unused} = {a, 1'b1} + {b, one_more};
  endfunction

  always_ff @(posedge clk) begin
    if (rst) begin
      lead   <= -LINE'(nearest(REACH - PAD_TOP) + 1);
      excess <= -LINE'(ROWS);
    end else begin
      lead   <= sum(lead, turn ? by_last : '0, row_done);
      excess <= sum(excess, turn ? by_first : '0, row_done);
    end
  end
endmodule
