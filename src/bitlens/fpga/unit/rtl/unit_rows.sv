// SPDX-License-Identifier: Apache-2.0
// Rows of the one or two sources of a layer, side by side in a ring, and the loader that keeps the ring full.
//
//   ring word of (row r, pixel x, fold f, digit p) = (r mod slots)*row_words + (x*folds + f)*planes + p
//
// with folds = folds1 + folds2: the concatenation costs nothing but this order. Rows come in order, a burst for each source; row r
// may come as soon as r < held + slots. Latency of a read 2 cycles, throughput 1 read and 1 word in a cycle. Reset forgets
// the layer; `start` begins one, with all that describes it standing still until the next. `height` counts rows up to the last
// one that is wanted: a layer must not end while a row is on the way.
module unit_rows #(
    parameter WORD = 32,
    parameter DEPTH = 1024,  // words of the ring
    parameter ADDRESS = $clog2(DEPTH)
) (
    input  logic               clk,
    input  logic               rst,
    input  logic               start,
    input  logic [       15:0] height,
    input  logic [        7:0] folds1,
    input  logic [        7:0] folds2,
    input  logic [        2:0] planes,
    input  logic [        7:0] slots,
    input  logic [       15:0] row_words,  // of the ring
    input  logic [       31:0] words1,     // of a row of the first source
    input  logic [       31:0] words2,
    input  logic [       31:0] source1,    // where the first row lies, in words
    input  logic [       31:0] source2,
    input  logic [       31:0] pitch1,     // words from row to row
    input  logic [       31:0] pitch2,
    input  logic [       15:0] held,       // the first row that is still wanted
    output logic [       15:0] loaded,     // rows that have come
    output logic               ask,        // for a burst
    output logic [       31:0] ask_address,
    output logic [       31:0] ask_words,
    input  logic               granted,
    input  logic [   WORD-1:0] data,
    input  logic               data_valid,
    input  logic [ADDRESS-1:0] address,
    output logic [   WORD-1:0] word
);
  (* ram_style = "block" *)
  logic [WORD-1:0] ring[0:DEPTH-1];
  logic [WORD-1:0] read;

  logic second, taking;  // source; whether a burst is on the way
  logic [31:0] from1, from2, left;
  logic [7:0] slot;
  logic [15:0] part;  // word of a pixel
  logic [ADDRESS-1:0] slot_begin, place;  // of the row, of the pixel in it
  wire [15:0] pixel1 = 16'(folds1) * 16'(planes);  // words
  wire [15:0] pixel2 = 16'(folds2) * 16'(planes);
  wire room = loaded < height && 17'(loaded) < 17'(held) + 17'(slots);
  assign ask = !taking && (second || room) && !start;
  assign ask_address = second ? from2 : from1;
  assign ask_words = second ? words2 : words1;
  wire part_end = part == (second ? pixel2 : pixel1) - 16'd1;
  wire burst_end = data_valid && taking && left == 32'd1;
  wire row_end = burst_end && (second || folds2 == '0);
  wire unused = &{1'b0, row_words[15:ADDRESS < 16 ? ADDRESS : 15]};

  always_ff @(posedge clk) begin
    if (data_valid && taking) ring[place+ADDRESS'(part)] <= data;
    read <= ring[address];
    word <= read;
    if (rst || start) begin
      loaded <= '0;
      second <= 1'b0;
      taking <= 1'b0;
      slot <= '0;
      slot_begin <= '0;
      place <= '0;
      part <= '0;
      left <= '0;
      from1 <= source1;
      from2 <= source2;
    end else begin
      if (ask && granted) begin
        taking <= 1'b1;
        left <= ask_words;
        part <= '0;
        place <= slot_begin + (second ? ADDRESS'(pixel1) : '0);
      end
      if (data_valid && taking) begin
        left <= left - 32'd1;
        part <= part_end ? '0 : part + 16'd1;
        if (part_end) place <= place + ADDRESS'(pixel1) + ADDRESS'(pixel2);
      end
      if (burst_end) begin
        taking <= 1'b0;
        second <= !second && folds2 != '0;
      end
      if (row_end) begin
        loaded <= loaded + 16'd1;
        from1 <= from1 + pitch1;
        from2 <= from2 + pitch2;
        slot <= slot == slots - 8'd1 ? '0 : slot + 8'd1;
        slot_begin <= slot == slots - 8'd1 ? '0 : slot_begin + ADDRESS'(row_words);
      end
    end
  end
endmodule
