// SPDX-License-Identifier: Apache-2.0
// Number of the largest channel of every pixel, the first where several are equal.
//
//   out = min { c : in[c] = max over all channels of in }
//
// FOLDS beats of LANES channels make a pixel. Latency 2 cycles after its last beat, throughput 1 beat in a cycle. Reset forgets
// the pixel in progress.
module argmax #(
    parameter LANES = 1,
    parameter FOLDS = 10,
    parameter IN_BITS = 8,
    parameter IN_SIGNED = 1,
    parameter OUT_BITS = 4  // enough for LANES*FOLDS - 1
) (
    input  logic                     clk,
    input  logic                     rst,        // synchronous, active high
    input  logic [LANES*IN_BITS-1:0] in_data,
    input  logic                     in_valid,
    output logic                     in_ready,
    output logic [     OUT_BITS-1:0] out_data,
    output logic                     out_valid,
    input  logic                     out_ready
);
  // stage 1: the largest lane of a beat
  logic [OUT_BITS-1:0] first;  // channel of lane 0
  logic signed [IN_BITS:0] number, largest;
  logic [OUT_BITS-1:0] where;
  integer i;
  always_comb begin
    largest = '0;
    where = first;
    number = '0;
    for (i = 0; i < LANES; i = i + 1) begin
      number = {(IN_SIGNED != 0) && in_data[i*IN_BITS+IN_BITS-1], in_data[i*IN_BITS+:IN_BITS]};
      if (i == 0 || number > largest) begin
        largest = number;
        where = first + OUT_BITS'(i);
      end
    end
  end

  // one enable: the stages move together
  wire step = !out_valid || out_ready;
  wire last = first == OUT_BITS'((FOLDS - 1) * LANES);
  assign in_ready = step;
  logic valid_1, begin_1, end_1;
  logic signed [IN_BITS:0] largest_1, best;
  logic [OUT_BITS-1:0] where_1;
  wire better = begin_1 || largest_1 > best;
  always_ff @(posedge clk) begin
    if (step) begin
      largest_1 <= largest;
      where_1 <= where;
      begin_1 <= first == '0;
      end_1 <= last;
      if (valid_1 && better) begin
        best <= largest_1;
        out_data <= where_1;
      end
    end
    if (rst) begin
      first <= '0;
      valid_1 <= 1'b0;
      out_valid <= 1'b0;
    end else if (step) begin
      if (in_valid) first <= last ? '0 : first + OUT_BITS'(LANES);
      valid_1   <= in_valid;
      out_valid <= valid_1 && end_1;
    end
  end
endmodule
