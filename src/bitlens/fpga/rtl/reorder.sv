// SPDX-License-Identifier: Apache-2.0
// Beats of a block in another order, some several times, some not at all: channel selections, shuffles, depth to space.
//
//   out beat i of a block = in beat ORDER[i] of it
//
// A block of TAKES beats comes in while the one before it goes out as GIVES beats. Latency: 2 cycles after a block is whole.
// Throughput: 1 beat a cycle in and out, so a block takes the larger of TAKES and GIVES cycles. Reset forgets both blocks.
module reorder #(
    parameter BEAT = 8,  // bits
    parameter TAKES = 4,
    parameter GIVES = 4,
    parameter ORDER = ""  // word of a beat out: the number of the beat in
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
  localparam IN = $clog2(TAKES) > 0 ? $clog2(TAKES) : 1;
  localparam OUT = $clog2(GIVES) > 0 ? $clog2(GIVES) : 1;

  logic [IN-1:0] rom[0:GIVES-1];
  generate
    if (ORDER != "") begin : gen_contents
      initial $readmemh(ORDER, rom);
    end
  endgenerate

  // two blocks; the half is the top bit of an address
  logic [BEAT-1:0] beats[0:(2<<IN)-1];
  logic [1:0] whole;
  logic write_half, read_half;
  logic [IN-1:0] write_beat;
  logic [OUT-1:0] read_beat;

  wire write = in_valid && in_ready;
  wire write_end = write_beat == IN'(TAKES - 1);
  assign in_ready = !whole[write_half];

  // one enable: the stages move together
  wire step = !out_valid || out_ready;
  wire issue = whole[read_half];
  wire read_end = read_beat == OUT'(GIVES - 1);
  logic [IN-1:0] source;
  logic valid_1, half_1, end_1;

  always_ff @(posedge clk) begin
    if (write) beats[{write_half, write_beat}] <= in_data;
    if (step) begin
      source <= rom[read_beat];
      half_1 <= read_half;
      end_1 <= read_end;
      out_data <= beats[{half_1, source}];
    end
    if (rst) begin
      write_half <= 1'b0;
      write_beat <= '0;
      read_half <= 1'b0;
      read_beat <= '0;
      whole <= '0;
      valid_1 <= 1'b0;
      out_valid <= 1'b0;
    end else begin
      if (write) begin
        write_beat <= write_end ? '0 : write_beat + 1'b1;
        if (write_end) begin
          whole[write_half] <= 1'b1;
          write_half <= !write_half;
        end
      end
      if (step) begin
        valid_1   <= issue && !(valid_1 && end_1 && half_1 == read_half);  // that block is being let go
        out_valid <= valid_1;
        if (valid_1 && end_1) whole[half_1] <= 1'b0;
        if (issue && !(valid_1 && end_1 && half_1 == read_half)) begin
          read_beat <= read_end ? '0 : read_beat + 1'b1;
          if (read_end) read_half <= !read_half;
        end
      end
    end
  end
endmodule
