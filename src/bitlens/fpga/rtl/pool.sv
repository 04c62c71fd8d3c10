// SPDX-License-Identifier: Apache-2.0
// Folds the taps of a window, channel by channel: the largest, or the sum.
//
//   out[c] = max (or sum) over the TAPS taps of in[tap][c]
//
// Taps come one after the other, FOLDS beats of LANES channels each (window.sv). Latency 2 cycles after the last tap's beat,
// throughput 1 beat a cycle. A tap that is outside the image must hold a value that changes nothing: the smallest, or 0.
// Reset forgets the window in progress.
module pool #(
    parameter LANES = 1,
    parameter FOLDS = 1,
    parameter TAPS = 4,
    parameter IN_BITS = 2,
    parameter IN_SIGNED = 0,
    parameter OUT_BITS = 2,
    parameter SUM = 0  // 1: sum, 0: max
) (
    input  logic                      clk,
    input  logic                      rst,        // synchronous, active high
    input  logic [ LANES*IN_BITS-1:0] in_data,
    input  logic                      in_valid,
    output logic                      in_ready,
    output logic [LANES*OUT_BITS-1:0] out_data,
    output logic                      out_valid,
    input  logic                      out_ready
);
  localparam FOLD = $clog2(FOLDS) > 0 ? $clog2(FOLDS) : 1;
  localparam TAP = $clog2(TAPS) > 0 ? $clog2(TAPS) : 1;

  logic [FOLD-1:0] fold;
  logic [TAP-1:0] tap;
  logic [LANES*OUT_BITS-1:0] kept[0:FOLDS-1];
  logic [LANES*OUT_BITS-1:0] now;
  wire [LANES*OUT_BITS-1:0] held = kept[fold];
  wire last = tap == TAP'(TAPS - 1);
  wire take = in_valid && in_ready;
  assign in_ready = !last || !out_valid || out_ready;

  genvar lane;
  generate
    for (lane = 0; lane < LANES; lane = lane + 1) begin : gen_lane
      wire signed [OUT_BITS:0] fresh = (OUT_BITS + 1)'($signed(
          {(IN_SIGNED != 0) && in_data[lane*IN_BITS+IN_BITS-1], in_data[lane*IN_BITS+:IN_BITS]}
      ));
      wire signed [OUT_BITS:0] old = $signed(
          {(IN_SIGNED != 0) && held[lane*OUT_BITS+OUT_BITS-1], held[lane*OUT_BITS+:OUT_BITS]}
      );
      wire signed [OUT_BITS:0] folded = SUM != 0 ? old + fresh : (old > fresh ? old : fresh);
      assign now[lane*OUT_BITS+:OUT_BITS] = tap == '0 ? fresh[OUT_BITS-1:0] : folded[OUT_BITS-1:0];
      wire unused = &{1'b0, fresh[OUT_BITS], folded[OUT_BITS]};
    end
  endgenerate

  always_ff @(posedge clk) begin
    if (take) kept[fold] <= now;
    if (take && last) out_data <= now;
    if (rst) begin
      fold <= '0;
      tap <= '0;
      out_valid <= 1'b0;
    end else begin
      if (out_ready) out_valid <= 1'b0;
      if (take) begin
        fold <= fold == FOLD'(FOLDS - 1) ? '0 : fold + 1'b1;
        if (fold == FOLD'(FOLDS - 1)) tap <= last ? '0 : tap + 1'b1;
        if (last) out_valid <= 1'b1;
      end
    end
  end
endmodule
