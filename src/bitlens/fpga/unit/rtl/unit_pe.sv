// SPDX-License-Identifier: Apache-2.0
// Processing element of the unit: one output channel's sum of digit products, SIMD of them a cycle, by Horner's rule.
//
//   total = sum over beats of 4^(shifts still to come) * sum over i of (digit[i] * number[i] + 6)
//
// Digits of weights are two's complement of 2 bits, numbers are digits of 2 bits without sign; the 6 that a product carries
// above its value keeps the tree free of signs, and comes off behind (unit.sv). A shift stands before the beats of the next lower
// digit. Sums wrap modulo 2^ACC_BITS: only what is left at the end must fit. Latency LATENCY cycles from operands to total,
// throughput 1 beat a cycle. `first`, `shift` and `valid` belong to the beat that entered LATENCY - 1 cycles ago. No reset: a
// beat that is not valid changes nothing.
(* keep_hierarchy *)
module unit_pe #(
    parameter SIMD = 16,
    parameter ACC_BITS = 24,
    parameter RADIX = 2,  // of the adders, 3 on xc7
    parameter LEVELS = 4,  // of them
    parameter LATENCY = LEVELS + 2,
    parameter [63:0] TARGET = "generic",
    parameter BEHAVIOURAL = 0  // 1: the body that simulates fast, the same in every cycle
) (
    input  logic                clk,
    input  logic [  SIMD*2-1:0] numbers,
    input  logic [  SIMD*2-1:0] digits,
    input  logic                first,
    input  logic                shift,
    input  logic                valid,
    output logic [ACC_BITS-1:0] total
);
  localparam SUM_BITS = $clog2(SIMD * 9 + 1);
  wire [SUM_BITS-1:0] sum;
  generate
    if (BEHAVIOURAL != 0) begin : gen_behaviour
      // bits of digits by bits of numbers: four counts instead of SIMD products
      localparam [2*SIMD-1:0] LOW = {SIMD{2'b01}};
      localparam COUNT = SUM_BITS + 1;
      wire [2*SIMD-1:0] u0 = numbers & LOW, u1 = (numbers >> 1) & LOW;
      wire [2*SIMD-1:0] d0 = digits & LOW, d1 = (digits >> 1) & LOW;
      wire [COUNT-1:0] above = COUNT'(6 * SIMD) + COUNT'($countones(d0 & u0)) + (COUNT'($countones(d0 & u1)) << 1);
      wire [COUNT-1:0] below = (COUNT'($countones(d1 & u0)) << 1) + (COUNT'($countones(d1 & u1)) << 2);
      delay #(
          .WIDTH (SUM_BITS),
          .CYCLES(LATENCY - 1)
      ) u_delay (
          .clk(clk),
          .in (SUM_BITS'(above - below)),
          .out(sum)
      );
    end else begin : gen_structure
      digit_sum #(
          .SIMD(SIMD),
          .IN_BITS(2),
          .DIGIT_BITS(2),
          .ODD(0),
          .FORM("table"),
          .TARGET(TARGET),
          .LEAF(1),
          .RADIX(RADIX),
          .LEVELS(LEVELS),
          .OUTS(1),
          .OUT_BITS(SUM_BITS)
      ) u_sum (
          .clk(clk),
          .numbers(numbers),
          .digits(digits),
          .sums(sum)
      );
    end
  endgenerate
  wire [ACC_BITS-1:0] held = first ? '0 : shift ? ACC_BITS'({total, 2'b00}) : total;
  always_ff @(posedge clk) if (valid) total <= held + ACC_BITS'(sum);
endmodule
