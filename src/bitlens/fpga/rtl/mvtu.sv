// SPDX-License-Identifier: Apache-2.0
// Matrix-vector-threshold unit: every output channel of one pixel, PE of them at a time, SIMD inputs of each a cycle.
//
//   total[o] = START + sum over i of product(weight[o][i], in[i])                   (pe.sv)
//   out[o] = LEVELS == 0 ? total[o] + addend[o] : value of total[o] in o's step table      (thresholds.sv)
//
// A number that may be negative enters the products with 2^(IN_BITS-1) added. What that and the form of the products add to a
// channel's sum is known from its weights alone and taken back by its breakpoints, or its addend.
//
// The vector comes as IN_FOLDS beats of SIMD numbers and is kept for the further OUT_FOLDS - 1 passes over it. Weights lie in a
// ROM of OUT_FOLDS*IN_FOLDS words, one word a cycle. Latency of a vector: IN_FOLDS + READ + PE_LATENCY + 4 cycles to its first
// beat out (READ: 2 for block RAM with its output register, 1 for a ROM of LUTs). Throughput: OUT_FOLDS*IN_FOLDS cycles a
// vector. A queue with credits stands at the output instead of an enable through the pipeline. Reset forgets the vector in
// progress and the queue.
module mvtu #(
    parameter IN_FOLDS = 1,
    parameter OUT_FOLDS = 1,
    parameter SIMD = 1,
    parameter PE = 1,
    parameter IN_BITS = 2,
    parameter IN_SIGNED = 0,
    parameter WEIGHT_BITS = 2,
    parameter ODD = 0,  // form of the weights, see pe.sv
    parameter START = 0,
    parameter ACC_BITS = 8,  // two's complement
    parameter LEVELS = 3,  // breakpoints of a step table; 0: none
    parameter OUT_BITS = 2,
    parameter PE_LATENCY = 2,  // of pe.sv
    parameter [63:0] KERNEL = "fold",  // where the weights lie: "fold" block RAM, "lutrom" LUTs
    parameter [63:0] TARGET = "generic",  // whose primitives to use: "xc7", "ecp5", "gowin", or "generic" for none
    parameter BEHAVIOURAL = 0,  // 1: the body that simulates fast, the same in every cycle
    parameter WEIGHTS = "",  // word of (out fold, in fold): PE lanes of SIMD weights
    parameter TABLE = ""  // word of an out fold: PE lanes of a step table (thresholds.sv) or of an addend
) (
    input  logic                    clk,
    input  logic                    rst,  // synchronous, active high
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
  localparam READ = KERNEL == "fold" ? 2 : 1;  // cycles from an address to its word
  localparam STAGES = READ + PE_LATENCY + 3;  // from issue to result

  // issue: one beat of the vector and one word of weights a cycle
  logic [IN_FOLD-1:0] in_fold;
  logic [OUT_FOLD-1:0] out_fold;
  logic [ADDRESS-1:0] address;
  wire may_start;
  logic first_pass, fold_end;  // out_fold is 0, in_fold its last: registers, for they decide much in their cycle
  wire last_pass = out_fold == OUT_FOLD'(OUT_FOLDS - 1);
  wire may_issue = !fold_end || may_start;
  wire issue = may_issue && (!first_pass || in_valid);
  assign in_ready = first_pass && may_issue;

  always_ff @(posedge clk) begin
    if (rst) begin
      in_fold  <= '0;
      out_fold <= '0;
      address  <= '0;
      first_pass <= 1'b1;
      fold_end <= IN_FOLDS == 1;
    end else if (issue) begin
      in_fold <= fold_end ? '0 : in_fold + 1'b1;
      fold_end <= IN_FOLDS == 1 || in_fold == IN_FOLD'(IN_FOLDS - 2);
      address <= fold_end && last_pass ? '0 : address + 1'b1;
      if (fold_end) begin
        out_fold   <= last_pass ? '0 : out_fold + 1'b1;
        first_pass <= last_pass;
      end
    end
  end

  // operands
  localparam BANKED = TARGET == "ecp5" && OUT_FOLDS > 1 && READ == 2 ? 1 : 0;
  localparam NEAR = BANKED != 0 && BEHAVIOURAL == 0 ? 4 : PE;  // elements that share a copy of the vector
  localparam COPIES = (PE + NEAR - 1) / NEAR;
  localparam BEAT = SIMD * IN_BITS;
  wire [COPIES*BEAT-1:0] vectors;
  wire [COPIES*BEAT-1:0] numbers = IN_SIGNED != 0 ? vectors ^ {COPIES * SIMD{IN_BITS'(1 << (IN_BITS - 1))}} : vectors;
  genvar lane;
  generate
    if (BANKED != 0) begin : gen_banks
      // Its block RAM gives a word 6 ns after the clock, LUTs give one of 32 words quickly: read in one cycle, chosen in the next.
      localparam BANKS = IN_FOLDS <= 32 || IN_FOLDS > 64 ? 1 : 2;
      wire upper = BANKS == 2 ? in_fold[IN_FOLD-1] : 1'b0;
      logic [BANKS*BEAT-1:0] again;  // what the first pass kept
      for (genvar bank = 0; bank < BANKS; bank = bank + 1) begin : gen_bank
        localparam WORDS = bank == BANKS - 1 ? IN_FOLDS - 32 * bank : 32;
        localparam PLACE = $clog2(WORDS) > 0 ? $clog2(WORDS) : 1;
        if (IN_FOLDS <= 64) begin : gen_luts
          (* ram_style = "distributed", syn_ramstyle = "distributed" *)
          logic [BEAT-1:0] kept[0:WORDS-1];
          always_ff @(posedge clk) begin
            if (first_pass && upper == 1'(bank)) kept[in_fold[PLACE-1:0]] <= in_data;
            again[bank*BEAT+:BEAT] <= kept[in_fold[PLACE-1:0]];
          end
        end else begin : gen_block
          (* no_rw_check *)  // while it is written nobody reads it
          logic [BEAT-1:0] kept[0:WORDS-1];
          always_ff @(posedge clk) begin
            if (first_pass) kept[in_fold] <= in_data;
            again <= kept[in_fold];
          end
        end
      end
      logic [BEAT-1:0] fresh;
      logic first_time, from_upper;
      always_ff @(posedge clk) begin
        fresh <= in_data;
        first_time <= first_pass;
        from_upper <= upper;
      end
      wire [BEAT-1:0] choice = first_time ? fresh : from_upper ? again[(BANKS-1)*BEAT+:BEAT] : again[0+:BEAT];
      for (genvar copy = 0; copy < COPIES; copy = copy + 1) begin : gen_copy
        delay #(  // a module, so that synthesis does not join the copies
            .WIDTH(BEAT)
        ) u_chosen (
            .clk(clk),
            .in (choice),
            .out(vectors[copy*BEAT+:BEAT])
        );
      end
    end else begin : gen_words
      wire [BEAT-1:0] again;
      wire [IN_FOLD-1:0] kept_at;
      if (TARGET == "ecp5" && IN_FOLDS <= 64) begin : gen_kept_ecp5
        (* ram_style = "distributed", syn_ramstyle = "distributed" *)
        logic [BEAT-1:0] kept[0:IN_FOLDS-1];
        always_ff @(posedge clk) if (first_pass) kept[in_fold] <= in_data;
        assign again = kept[kept_at];
      end else begin : gen_kept
        logic [BEAT-1:0] kept[0:IN_FOLDS-1];
        always_ff @(posedge clk) if (first_pass) kept[in_fold] <= in_data;
        assign again = kept[kept_at];
      end
      if (OUT_FOLDS > 1 && READ == 2) begin : gen_late  // what comes is read where it was written the cycle before
        logic [IN_FOLD-1:0] place;
        logic [BEAT-1:0] word;
        always_ff @(posedge clk) begin
          place <= in_fold;
          word  <= again;
        end
        assign kept_at = place;
        assign vectors = word;
      end else begin : gen_straight
        assign kept_at = in_fold;
        delay #(
            .WIDTH(BEAT),
            .CYCLES(READ)
        ) u_vector (
            .clk(clk),
            .in (first_pass ? in_data : again),
            .out(vectors)
        );
      end
    end
  endgenerate

  // what belongs to a beat, until its sum is added
  localparam WAIT = READ + PE_LATENCY - 1;
  logic [WAIT-1:0] valid;  // the newest at the bottom
  logic finished;  // totals are complete
  wire first, last;
  wire [OUT_FOLD-1:0] fold;  // of the totals
  always_ff @(posedge clk) begin
    valid <= rst ? '0 : WAIT'({valid, issue});
    finished <= valid[WAIT-1] && last && !rst;
  end
  delay #(
      .WIDTH(2),
      .CYCLES(WAIT)
  ) u_ends (
      .clk(clk),
      .in ({in_fold == '0, fold_end}),
      .out({first, last})
  );
  delay #(
      .WIDTH(OUT_FOLD),
      .CYCLES(WAIT + 1)
  ) u_fold (
      .clk(clk),
      .in (out_fold),
      .out(fold)
  );

  wire [PE*ACC_BITS-1:0] totals;
  generate
    if (BEHAVIOURAL != 0) begin : gen_behaviour
      lanes #(
          .PE(PE),
          .SIMD(SIMD),
          .IN_BITS(IN_BITS),
          .WEIGHT_BITS(WEIGHT_BITS),
          .ODD(ODD),
          .ACC_BITS(ACC_BITS),
          .START(START),
          .DEPTH(DEPTH),
          .READ(READ),
          .LATENCY(PE_LATENCY),
          .CONTENTS(WEIGHTS)
      ) u_lanes (
          .clk(clk),
          .address(address),
          .numbers(numbers[BEAT-1:0]),
          .first(first),
          .valid(valid[WAIT-1]),
          .totals(totals)
      );
    end else begin : gen_lanes
      wire [WORD-1:0] weights;
      rom #(
          .WIDTH(WORD),
          .DEPTH(DEPTH),
          .READ(READ),
          .TARGET(TARGET),
          .CONTENTS(WEIGHTS)
      ) u_weights (
          .clk(clk),
          .address(address),
          .word(weights)
      );
      for (lane = 0; lane < PE; lane = lane + 1) begin : gen_lane
        pe #(
            .SIMD(SIMD),
            .IN_BITS(IN_BITS),
            .WEIGHT_BITS(WEIGHT_BITS),
            .ODD(ODD),
            .BEATS(IN_FOLDS),
            .ACC_BITS(ACC_BITS),
            .START(START),
            .LATENCY(PE_LATENCY),
            .TARGET(TARGET)
        ) u_pe (
            .clk(clk),
            .numbers(numbers[lane/NEAR*BEAT+:BEAT]),
            .weights(weights[lane*SIMD*WEIGHT_BITS+:SIMD*WEIGHT_BITS]),
            .first(first),
            .valid(valid[WAIT-1]),
            .total(totals[lane*ACC_BITS+:ACC_BITS])
        );
      end
    end
  endgenerate

  // step tables: 3 cycles; or addends: 2
  wire [PE*OUT_BITS-1:0] results;
  wire results_valid;
  generate
    if (LEVELS > 0) begin : gen_table
      thresholds #(
          .LANES(PE),
          .FOLDS(OUT_FOLDS),
          .IN_BITS(ACC_BITS),
          .LEVELS(LEVELS),
          .OUT_BITS(OUT_BITS),
          .TARGET(TARGET),
          .TABLE(TABLE),
          .BEHAVIOURAL(BEHAVIOURAL)
      ) u_thresholds (
          .clk(clk),
          .rst(rst),
          .in_data(totals),
          .in_fold(fold),
          .in_valid(finished),
          .out_data(results),
          .out_valid(results_valid)
      );
    end else begin : gen_addend
      addends #(
          .LANES(PE),
          .FOLDS(OUT_FOLDS),
          .IN_BITS(ACC_BITS),
          .OUT_BITS(OUT_BITS),
          .TABLE(TABLE),
          .BEHAVIOURAL(BEHAVIOURAL)
      ) u_addends (
          .clk(clk),
          .rst(rst),
          .in_data(totals),
          .in_fold(fold),
          .in_valid(finished),
          .out_data(results),
          .out_valid(results_valid)
      );
    end
  endgenerate

  credit_queue #(
      .WIDTH(PE * OUT_BITS),
      .DEPTH((STAGES + 1) / IN_FOLDS + 2)
  ) u_queue (
      .clk(clk),
      .rst(rst),
      .may_start(may_start),
      .start(issue && fold_end),
      .result(results),
      .result_valid(results_valid),
      .out_data(out_data),
      .out_valid(out_valid),
      .out_ready(out_ready)
  );
endmodule
