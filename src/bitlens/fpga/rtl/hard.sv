// SPDX-License-Identifier: Apache-2.0
// Hard-wired matrix-threshold unit: every output channel of a pixel in one cycle, by adders made for the layer's own weights.
//
//   total[o] = offset[o] + sum over i of weight[o][i] * in[i]        in a module of its own, between `numbers` and `totals`
//   out[o] = LEVELS == 0 ? total[o] + addend[o] : value of total[o] in o's step table      (thresholds.sv)
//
// That module has LATENCY cycles and no handshake; what it adds to a sum is taken back by the breakpoints, or the addend.
// Latency LATENCY + 5 cycles, throughput 1 vector a cycle. A queue with credits stands at the output instead of an enable
// through the pipeline. Reset forgets what is on the way.
module hard #(
    parameter SIMD = 1,  // all inputs of a vector
    parameter PE = 1,  // all outputs
    parameter IN_BITS = 2,
    parameter ACC_BITS = 8,  // two's complement
    parameter LEVELS = 3,  // breakpoints of a step table; 0: none
    parameter OUT_BITS = 2,
    parameter LATENCY = 2,
    parameter [63:0] TARGET = "generic",
    parameter TABLE = ""  // the word: PE lanes of a step table (thresholds.sv) or of an addend
) (
    input  logic                    clk,
    input  logic                    rst,       // synchronous, active high
    input  logic [SIMD*IN_BITS-1:0] in_data,
    input  logic                    in_valid,
    output logic                    in_ready,
    output logic [SIMD*IN_BITS-1:0] numbers,
    input  logic [ PE*ACC_BITS-1:0] totals,    // of the numbers LATENCY cycles ago
    output logic [ PE*OUT_BITS-1:0] out_data,
    output logic                    out_valid,
    input  logic                    out_ready
);
  wire may_start;
  wire start = in_valid && may_start;
  assign in_ready = may_start;

  logic [LATENCY:0] valid;  // that of the numbers at the bottom
  always_ff @(posedge clk) begin
    numbers <= in_data;
    valid   <= rst ? '0 : {valid[LATENCY-1:0], start};
  end

  // step tables: 3 cycles; or addends: 2
  wire [PE*OUT_BITS-1:0] results;
  wire results_valid;
  generate
    if (LEVELS > 0) begin : gen_table
      thresholds #(
          .LANES(PE),
          .FOLDS(1),
          .IN_BITS(ACC_BITS),
          .LEVELS(LEVELS),
          .OUT_BITS(OUT_BITS),
          .TARGET(TARGET),
          .TABLE(TABLE)
      ) u_thresholds (
          .clk(clk),
          .rst(rst),
          .in_data(totals),
          .in_fold(1'b0),
          .in_valid(valid[LATENCY]),
          .out_data(results),
          .out_valid(results_valid)
      );
    end else begin : gen_addend
      addends #(
          .LANES(PE),
          .FOLDS(1),
          .IN_BITS(ACC_BITS),
          .OUT_BITS(OUT_BITS),
          .TABLE(TABLE)
      ) u_addends (
          .clk(clk),
          .rst(rst),
          .in_data(totals),
          .in_fold(1'b0),
          .in_valid(valid[LATENCY]),
          .out_data(results),
          .out_valid(results_valid)
      );
    end
  endgenerate

  credit_queue #(
      .WIDTH(PE * OUT_BITS),
      .DEPTH(LATENCY + 7)
  ) u_queue (
      .clk(clk),
      .rst(rst),
      .may_start(may_start),
      .start(start),
      .result(results),
      .result_valid(results_valid),
      .out_data(out_data),
      .out_valid(out_valid),
      .out_ready(out_ready)
  );
endmodule
