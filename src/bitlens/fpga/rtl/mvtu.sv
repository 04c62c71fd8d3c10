// SPDX-License-Identifier: Apache-2.0
// Matrix-vector-threshold unit: every output channel of one pixel, PE of them at a time, SIMD inputs of each a cycle.
//
//   acc[o] = sum over i of weight[o][i] * in[i];   out[o] = LEVELS == 0 ? acc[o] : value of acc[o] in o's step table
//
// The vector comes as IN_FOLDS beats of SIMD integers and is kept for the further OUT_FOLDS - 1 passes over it. Weights lie in a
// ROM of OUT_FOLDS*IN_FOLDS words, one word a cycle. Latency of a vector: IN_FOLDS + 5 cycles to its first beat out. Throughput:
// OUT_FOLDS*IN_FOLDS cycles a vector. A queue with credits stands at the output instead of an enable through the pipeline.
// Reset forgets the vector in progress and the queue.
module mvtu #(
    parameter IN_FOLDS = 1,
    parameter OUT_FOLDS = 1,
    parameter SIMD = 1,
    parameter PE = 1,
    parameter IN_BITS = 2,
    parameter IN_SIGNED = 0,
    parameter WEIGHT_BITS = 2,  // two's complement
    parameter ACC_BITS = 8,  // two's complement
    parameter LEVELS = 3,  // breakpoints of a step table; 0: none
    parameter OUT_BITS = 2,
    parameter [63:0] KERNEL = "fold",  // where the weights lie: "fold" block RAM, "lutrom" LUTs, "hard" constants
    parameter [63:0] TARGET = "generic",  // whose primitives to use: "xc7", "ecp5", "gowin", or "generic" for none
    parameter BEHAVIOURAL = 0,  // 1: the body that simulates fast, the same in every cycle
    parameter WEIGHTS = "weights.hex",  // word of (out fold, in fold): PE lanes of SIMD weights
    parameter TABLE = "table.hex"  // word of an out fold: PE lanes, see thresholds.sv
) (
    input  logic                    clk,
    input  logic                    rst,
    input  logic [SIMD*IN_BITS-1:0] in_data,
    input  logic                    in_valid,
    output logic                    in_ready,
    output logic [ PE*OUT_BITS-1:0] out_data,
    output logic                    out_valid,
    input  logic                    out_ready
);
  localparam DEPTH = OUT_FOLDS * IN_FOLDS;
  localparam WORD = PE * SIMD * WEIGHT_BITS;
  localparam ADDRESS = $clog2(DEPTH) > 0 ? $clog2(DEPTH) : 1;
  localparam IN_FOLD = $clog2(IN_FOLDS) > 0 ? $clog2(IN_FOLDS) : 1;
  localparam OUT_FOLD = $clog2(OUT_FOLDS) > 0 ? $clog2(OUT_FOLDS) : 1;
  localparam QUEUE = 8;  // more than the stages between issue and queue

  wire unused_modes = &{1'b0, KERNEL, TARGET, BEHAVIOURAL != 0};

  // issue: one beat of the vector and one word of weights a cycle
  logic [IN_FOLD-1:0] in_fold;
  logic [OUT_FOLD-1:0] out_fold;
  logic [ADDRESS-1:0] address;
  logic [3:0] credits;
  wire first_pass = out_fold == '0;
  wire fold_end = in_fold == IN_FOLD'(IN_FOLDS - 1);
  wire vector_end = fold_end && out_fold == OUT_FOLD'(OUT_FOLDS - 1);
  wire may_end = !fold_end || credits != '0;
  wire issue = may_end && (!first_pass || in_valid);
  assign in_ready = first_pass && may_end;

  wire queued = out_valid && out_ready;
  always_ff @(posedge clk) begin
    if (rst) begin
      in_fold  <= '0;
      out_fold <= '0;
      address  <= '0;
      credits  <= 4'(QUEUE);
    end else begin
      if (issue) begin
        in_fold <= fold_end ? '0 : in_fold + 1'b1;
        address <= vector_end ? '0 : address + 1'b1;
        if (fold_end) out_fold <= vector_end ? '0 : out_fold + 1'b1;
      end
      credits <= credits - (issue && fold_end ? 4'd1 : 4'd0) + (queued ? 4'd1 : 4'd0);
    end
  end

  // stage 1: operands
  logic [WORD-1:0] rom[0:DEPTH-1];
  initial $readmemh(WEIGHTS, rom);
  logic [SIMD*IN_BITS-1:0] kept[0:IN_FOLDS-1];
  logic [SIMD*IN_BITS-1:0] vector;
  logic [WORD-1:0] weights;
  logic valid_1, begin_1, end_1;
  logic [OUT_FOLD-1:0] fold_1;
  always_ff @(posedge clk) begin
    weights <= rom[address];
    vector  <= first_pass ? in_data : kept[in_fold];
    if (issue && first_pass) kept[in_fold] <= in_data;
    begin_1 <= in_fold == '0;
    end_1   <= fold_end;
    fold_1  <= out_fold;
    valid_1 <= issue && !rst;
  end

  // stage 2: sums of SIMD products; stage 3: sums of the folds
  logic valid_2, begin_2, end_2, valid_3;
  logic [OUT_FOLD-1:0] fold_2, fold_3;
  logic signed [ACC_BITS-1:0] sums[0:PE-1];
  logic signed [ACC_BITS-1:0] accumulators[0:PE-1];
  logic [PE*ACC_BITS-1:0] finished;

  genvar lane;
  generate
    for (lane = 0; lane < PE; lane = lane + 1) begin : gen_lane
      logic signed [ACC_BITS-1:0] sum;
      dot #(
          .SIMD(SIMD),
          .IN_BITS(IN_BITS),
          .IN_SIGNED(IN_SIGNED),
          .WEIGHT_BITS(WEIGHT_BITS),
          .SUM_BITS(ACC_BITS)
      ) u_dot (
          .vector (vector),
          .weights(weights[lane*SIMD*WEIGHT_BITS+:SIMD*WEIGHT_BITS]),
          .sum    (sum)
      );
      always_ff @(posedge clk) begin
        sums[lane] <= sum;
        if (valid_2) accumulators[lane] <= begin_2 ? sums[lane] : accumulators[lane] + sums[lane];
      end
      assign finished[lane*ACC_BITS+:ACC_BITS] = accumulators[lane];
    end
  endgenerate

  always_ff @(posedge clk) begin
    begin_2 <= begin_1;
    end_2   <= end_1;
    fold_2  <= fold_1;
    fold_3  <= fold_2;
    valid_2 <= valid_1 && !rst;
    valid_3 <= valid_2 && end_2 && !rst;
  end

  // stages 4 and 5: step tables
  logic [PE*OUT_BITS-1:0] codes;
  logic codes_valid;
  generate
    if (LEVELS > 0) begin : gen_table
      thresholds #(
          .LANES(PE),
          .FOLDS(OUT_FOLDS),
          .IN_BITS(ACC_BITS),
          .LEVELS(LEVELS),
          .OUT_BITS(OUT_BITS),
          .TABLE(TABLE)
      ) u_thresholds (
          .clk(clk),
          .rst(rst),
          .in_data(finished),
          .in_fold(fold_3),
          .in_valid(valid_3),
          .out_data(codes),
          .out_valid(codes_valid)
      );
    end else begin : gen_plain
      wire unused = &{1'b0, fold_3};
      assign codes = finished;
      assign codes_valid = valid_3;
    end
  endgenerate

  wire room;  // always, by the credits
  wire unused_room = &{1'b0, room};
  fifo #(
      .WIDTH(PE * OUT_BITS),
      .DEPTH(QUEUE)
  ) u_queue (
      .clk(clk),
      .rst(rst),
      .in_data(codes),
      .in_valid(codes_valid),
      .in_ready(room),
      .out_data(out_data),
      .out_valid(out_valid),
      .out_ready(out_ready)
  );
endmodule
