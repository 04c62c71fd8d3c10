// SPDX-License-Identifier: Apache-2.0
// Windows out of the columns of a row that come one after the other: a whole window in one beat, each column in once.
//
//   out = columns x*STRIDE + k*DILATION for k = 0 to KERNEL-1, that of k = 0 lowest, for x = 0, 1, ... of COLUMNS columns
//
// COLUMNS must be STRIDE*(windows - 1) + DILATION*(KERNEL-1) + 1. Latency 0 cycles from a window's last column, throughput
// 1 column a cycle. Reset begins a new row.
module slide #(
    parameter BEAT = 8,  // bits of a column
    parameter COLUMNS = 4,  // of a row
    parameter KERNEL = 3,
    parameter STRIDE = 1,
    parameter DILATION = 1
) (
    input  logic                   clk,
    input  logic                   rst,  // synchronous, active high
    input  logic [       BEAT-1:0] in_data,
    input  logic                   in_valid,
    output logic                   in_ready,
    output logic [KERNEL*BEAT-1:0] out_data,
    output logic                   out_valid,
    input  logic                   out_ready
);
  localparam REACH = DILATION * (KERNEL - 1);  // columns that are kept
  localparam COLUMN = $clog2(COLUMNS) > 0 ? $clog2(COLUMNS) : 1;
  localparam PHASE = $clog2(STRIDE) > 0 ? $clog2(STRIDE) : 1;

  logic [COLUMN-1:0] column;
  logic [PHASE-1:0] phase;  // columns since the last window
  wire full = column >= COLUMN'(REACH);
  wire gives = full && phase == '0;
  wire take = in_valid && in_ready;
  assign in_ready = !gives || out_ready;
  assign out_valid = in_valid && gives;

  always_ff @(posedge clk) begin
    if (rst) begin
      column <= '0;
      phase  <= '0;
    end else if (take) begin
      column <= column == COLUMN'(COLUMNS - 1) ? '0 : column + 1'b1;
      if (!full || column == COLUMN'(COLUMNS - 1) || phase == PHASE'(STRIDE - 1)) phase <= '0;
      else phase <= phase + 1'b1;
    end
  end

  wire [(REACH+1)*BEAT-1:0] columns;  // the oldest lowest
  assign columns[REACH*BEAT+:BEAT] = in_data;
  generate
    if (REACH > 0) begin : gen_kept
      logic [REACH*BEAT-1:0] kept;
      always_ff @(posedge clk) if (take) kept <= columns[BEAT+:REACH*BEAT];
      assign columns[REACH*BEAT-1:0] = kept;
    end
    if (DILATION > 1 && KERNEL > 1) begin : gen_between
      wire unused = &{1'b0, columns};
    end
    for (genvar k = 0; k < KERNEL; k = k + 1) begin : gen_tap
      assign out_data[k*BEAT+:BEAT] = columns[k*DILATION*BEAT+:BEAT];
    end
  endgenerate
endmodule
