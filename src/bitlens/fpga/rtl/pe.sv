// SPDX-License-Identifier: Apache-2.0
// Processing element: one output channel's sum of products, SIMD of them a cycle.
//
//   total = START + sum over the beats of a vector, over i, of product(i)
//   ODD = 0: product = weight * number                weight: two's complement
//   ODD = 1: product = (N - 2*d) * number + M * d     d: the weight's code, N = 2^WEIGHT_BITS - 1, M = 2^IN_BITS - 1
//
// ODD is for weights N, N - 2, ..., -N: their codes need a bit less, and M * d, known from the weights alone, goes into the
// breakpoints behind. The body is chosen by TARGET: tables of whole products up to 5 bits of number and weight, then bit planes
// of the weight (digits of 1 bit) up to 8, then multipliers; digits are summed by digit_sum.sv, then digits of different weight,
// then beats. "generic" leaves the sum to synthesis, and BEHAVIOURAL says so for any target, in the same number of cycles.
//
// LATENCY cycles from `numbers` and `weights` to `total`, throughput 1 beat a cycle. `first` and `valid` belong to the beat
// that entered LATENCY - 1 cycles ago: one delay line serves all elements. No reset: a beat that is not valid changes nothing.
(* keep_hierarchy *)
module pe #(
    parameter SIMD = 4,
    parameter IN_BITS = 2,
    parameter WEIGHT_BITS = 2,
    parameter ODD = 0,
    parameter BEATS = 1,  // of a vector
    parameter ACC_BITS = 8,  // two's complement
    parameter START = 0,
    parameter LATENCY = 2,  // must be that of the body; see TREE below
    parameter [63:0] TARGET = "generic",
    parameter BEHAVIOURAL = 0
) (
    input  logic                               clk,
    input  logic        [    SIMD*IN_BITS-1:0] numbers,  // unsigned
    input  logic        [SIMD*WEIGHT_BITS-1:0] weights,
    input  logic                               first,    // of the vector's beats
    input  logic                               valid,
    output logic signed [        ACC_BITS-1:0] total
);
  localparam BITS = IN_BITS + WEIGHT_BITS;
  localparam XC7 = TARGET == "xc7" ? 1 : 0;
  localparam TABLE = BITS <= (XC7 != 0 ? 5 : TARGET == "gowin" ? 4 : 2) ? 1 : 0;
  localparam MULTIPLY = BITS > 8 ? 1 : 0;
  localparam PLANES = TABLE == 0 && MULTIPLY == 0 ? 1 : 0;
  localparam [63:0] FORM = TABLE != 0 ? "table" : MULTIPLY != 0 ? "multiply" : "gated";
  localparam LEAF = PLANES != 0 ? 2 : MULTIPLY != 0 || BITS > 2 ? 1 : XC7 != 0 ? 3 : 2;
  localparam RADIX = XC7 != 0 ? 3 : 2;
  function automatic integer levels_of(input integer count, input integer left);  // of adders, until that many are left
    integer rest;
    rest = count;
    for (levels_of = 0; rest > left; levels_of = levels_of + 1) rest = (rest + RADIX - 1) / RADIX;
  endfunction

  function automatic integer count_of(input integer count, input integer levels);  // numbers left after so many
    integer i;
    count_of = count;
    for (i = 0; i < levels; i = i + 1) count_of = (count_of + RADIX - 1) / RADIX;
  endfunction

  localparam DIGITS = PLANES != 0 ? WEIGHT_BITS : 1;
  localparam DIGIT_BITS = WEIGHT_BITS / DIGITS;
  localparam LEFT = XC7 != 0 ? 2 : 1;  // numbers that the accumulator takes
  localparam LEVELS = levels_of((SIMD + LEAF - 1) / LEAF, DIGITS == 1 ? LEFT : 1);
  localparam JOINS = levels_of(DIGITS, LEFT);
  localparam TREE = TARGET == "generic" ? 2 : 1 + LEVELS + JOINS + 1;

  genvar digit;
  generate
    if (LATENCY != TREE) begin : gen_error
      latency_must_be_that_of_the_body u_stop ();
    end
    if (TARGET == "generic" || BEHAVIOURAL != 0) begin : gen_behaviour
      logic signed [ACC_BITS-1:0] sum;
      dot #(
          .SIMD(SIMD),
          .IN_BITS(IN_BITS),
          .WEIGHT_BITS(WEIGHT_BITS),
          .ODD(ODD),
          .SUM_BITS(ACC_BITS)
      ) u_dot (
          .numbers(numbers),
          .weights(weights),
          .sum(sum)
      );
      wire signed [ACC_BITS-1:0] late;
      delay #(
          .WIDTH(ACC_BITS),
          .CYCLES(LATENCY - 1)
      ) u_delay (
          .clk(clk),
          .in (sum),
          .out(late)
      );
      always_ff @(posedge clk) if (valid) total <= (first ? ACC_BITS'(START) : total) + late;
    end else begin : gen_structure
      localparam PRODUCT = MULTIPLY != 0 ? (1 << BITS) - 1 : ((1 << IN_BITS) - 1) * ((1 << DIGIT_BITS) - 1);
      localparam OUTS = count_of((SIMD + LEAF - 1) / LEAF, LEVELS);  // of a digit sum
      localparam DIGIT_SUM_BITS = $clog2(SIMD * PRODUCT + 1);
      localparam SUM_BITS = DIGIT_SUM_BITS + (PLANES != 0 ? WEIGHT_BITS : 0) + 1;
      localparam LIFT = MULTIPLY != 0 ? 1 << (BITS - 1)  // what a product has above its value
                      : ODD == 0 && PLANES == 0 ? ((1 << IN_BITS) - 1) << (WEIGHT_BITS - 1) : 0;
      localparam [ACC_BITS-1:0] BEGIN = ACC_BITS'(START - BEATS * SIMD * LIFT);
      localparam NEGATIVE = PLANES != 0 && ODD == 0 ? 1 : 0;  // the highest digit of two's complement

      wire [DIGITS*OUTS*SUM_BITS-1:0] parts;  // digit sums at their weight
      for (digit = 0; digit < DIGITS; digit = digit + 1) begin : gen_digit
        wire [SIMD*DIGIT_BITS-1:0] digits;
        for (genvar k = 0; k < SIMD; k = k + 1) begin : gen_weight
          assign digits[k*DIGIT_BITS+:DIGIT_BITS] = weights[k*WEIGHT_BITS+digit*DIGIT_BITS+:DIGIT_BITS];
        end
        wire [OUTS*DIGIT_SUM_BITS-1:0] sums;
        digit_sum #(
            .SIMD(SIMD),
            .IN_BITS(IN_BITS),
            .DIGIT_BITS(DIGIT_BITS),
            .ODD(ODD),
            .FORM(FORM),
            .TARGET(TARGET),
            .LEAF(LEAF),
            .RADIX(RADIX),
            .LEVELS(LEVELS),
            .OUTS(OUTS),
            .OUT_BITS(DIGIT_SUM_BITS)
        ) u_sum (
            .clk(clk),
            .numbers(numbers),
            .digits(digits),
            .sums(sums)
        );
        for (genvar k = 0; k < OUTS; k = k + 1) begin : gen_out
          assign parts[(digit*OUTS+k)*SUM_BITS+:SUM_BITS] = SUM_BITS'(sums[k*DIGIT_SUM_BITS+:DIGIT_SUM_BITS]) << digit;
        end
      end
      accumulate #(
          .PARTS(DIGITS * OUTS),
          .JOINS(JOINS),
          .RADIX(RADIX),
          .SUM_BITS(SUM_BITS),
          .NEGATIVE(NEGATIVE),
          .ACC_BITS(ACC_BITS),
          .START(BEGIN),
          .TARGET(TARGET)
      ) u_accumulate (
          .clk(clk),
          .parts(parts),
          .first(first),
          .valid(valid),
          .total(total)
      );
    end
  endgenerate
endmodule
