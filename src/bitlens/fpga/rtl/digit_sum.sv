// SPDX-License-Identifier: Apache-2.0
// Sum of SIMD products of a weight's digit and an unsigned number: a tree of adders with a register at every level.
//
//   sums[0] + ... + sums[OUTS-1] = sum over i of product(digit[i], number[i])    (leaf.sv)
//
// The leaves sum LEAF products each; a level sums 3 numbers (xc7: one ternary adder) or 2. Every sum has the bits it needs and
// no more. Registers between the levels keep synthesis from merging adders into one wide array of full adders. After LEVELS levels
// OUTS numbers are left, the result is their sum. Latency 1 + LEVELS cycles, throughput 1 sum a cycle. No reset: who uses it
// knows which sums count.
module digit_sum #(
    parameter SIMD = 4,
    parameter IN_BITS = 2,
    parameter DIGIT_BITS = 2,
    parameter ODD = 0,
    parameter [63:0] FORM = "table",
    parameter [63:0] TARGET = "generic",
    parameter LEAF = 1,  // products of a leaf
    parameter RADIX = 3,  // numbers of an adder
    parameter LEVELS = 2,
    parameter OUTS = 1,  // ceil(SIMD / LEAF / RADIX^LEVELS)
    parameter OUT_BITS = 6  // of each
) (
    input  logic                       clk,
    input  logic [   SIMD*IN_BITS-1:0] numbers,
    input  logic [SIMD*DIGIT_BITS-1:0] digits,
    output logic [  OUTS*OUT_BITS-1:0] sums
);
  localparam LEAVES = (SIMD + LEAF - 1) / LEAF;
  localparam MOST = FORM == "multiply" ? (1 << (IN_BITS + DIGIT_BITS)) - 1
                                       : ((1 << IN_BITS) - 1) * ((1 << DIGIT_BITS) - 1);  // of a product

  function automatic integer leaves_at(input integer level);  // under each number of a level
    integer below;
    leaves_at = 1;
    for (below = 0; below < level; below = below + 1) leaves_at = leaves_at * RADIX;
  endfunction

  function automatic integer numbers_at(input integer level);  // numbers of a level
    numbers_at = (LEAVES + leaves_at(level) - 1) / leaves_at(level);
  endfunction

  function automatic integer bits_at(input integer level, input integer place);  // of a number
    integer products, rest;
    products = LEAF * leaves_at(level);
    rest = SIMD - products * place;
    bits_at = $clog2(MOST * (rest < products ? rest : products) + 1);
  endfunction

  genvar level, place;
  generate
    for (level = 0; level <= LEVELS; level = level + 1) begin : gen_level
      wire [numbers_at(level)*OUT_BITS-1:0] values;  // a slot of OUT_BITS for each number, upper bits 0
      wire unused = &{1'b0, values};  // those
      for (place = 0; place < numbers_at(level); place = place + 1) begin : gen_number
        localparam BITS = bits_at(level, place);
        wire [BITS-1:0] value;
        logic [BITS-1:0] kept;
        always_ff @(posedge clk) kept <= value;
        assign values[place*OUT_BITS+:OUT_BITS] = OUT_BITS'(kept);
        if (level == 0) begin : gen_leaf
          localparam COUNT = SIMD - place * LEAF < LEAF ? SIMD - place * LEAF : LEAF;
          leaf #(
              .COUNT(COUNT),
              .IN_BITS(IN_BITS),
              .DIGIT_BITS(DIGIT_BITS),
              .ODD(ODD),
              .FORM(FORM),
              .TARGET(TARGET),
              .OUT_BITS(BITS)
          ) u_leaf (
              .numbers(numbers[place*LEAF*IN_BITS+:COUNT*IN_BITS]),
              .digits(digits[place*LEAF*DIGIT_BITS+:COUNT*DIGIT_BITS]),
              .sum(value)
          );
        end else begin : gen_add
          localparam FIRST = place * RADIX;  // of the numbers below
          localparam COUNT = numbers_at(level - 1) - FIRST < RADIX ? numbers_at(level - 1) - FIRST : RADIX;
          localparam BELOW = bits_at(level - 1, FIRST);  // the most of them
          wire [BELOW-1:0] a = gen_level[level-1].values[FIRST*OUT_BITS+:BELOW];
          if (COUNT == 1) begin : gen_pass
            assign value = a;
          end else begin : gen_sum
            wire [BELOW-1:0] b = gen_level[level-1].values[(FIRST+1)*OUT_BITS+:BELOW];
            if (TARGET == "xc7") begin : gen_ternary
              localparam POSITIONS = BELOW + 1 < BITS ? BELOW + 1 : BITS;
              wire [BELOW-1:0] c;
              if (COUNT == 3) begin : gen_third
                assign c = gen_level[level-1].values[(FIRST+2)*OUT_BITS+:BELOW];
              end else begin : gen_no_third
                assign c = '0;
              end
              wire [4*POSITIONS-1:0] inputs;
              for (genvar i = 0; i < POSITIONS; i = i + 1) begin : gen_position
                if (i < BELOW) begin : gen_operands
                  assign inputs[4*i+:4] = {1'b0, c[i], b[i], a[i]};
                end else begin : gen_top
                  assign inputs[4*i+:4] = '0;
                end
              end
              wire [POSITIONS-1:0] low;
              wire high;
              ternary_xc7 #(
                  .POSITIONS(POSITIONS)
              ) u_add (
                  .inputs(inputs),
                  .carry_in(1'b0),
                  .sum(low),
                  .carry_out(high)
              );
              assign value = BITS'({high, low});
            end else if (TARGET == "ecp5") begin : gen_ecp5
              add_ecp5 #(
                  .WIDTH(BITS)
              ) u_add (
                  .a(BITS'(a)),
                  .b({BITS{1'b0}}),
                  .c(BITS'(b)),
                  .d({BITS{1'b0}}),
                  .carry_in(1'b0),
                  .sum(value)
              );
            end else begin : gen_binary
              assign value = BITS'(a) + BITS'(b);
            end
          end
        end
      end
    end
  endgenerate
  assign sums = gen_level[LEVELS].values;
endmodule
