// SPDX-License-Identifier: Apache-2.0
// Product of two short vectors, without a clock.
//
//   sum = sum over i of weight[i] * vector[i]
module dot #(
    parameter SIMD = 1,
    parameter IN_BITS = 2,
    parameter IN_SIGNED = 0,
    parameter WEIGHT_BITS = 2,  // two's complement
    parameter SUM_BITS = 8
) (
    input  logic        [   SIMD*IN_BITS-1:0] vector,
    input  logic        [SIMD*WEIGHT_BITS-1:0] weights,
    output logic signed [       SUM_BITS-1:0] sum
);
  integer i;
  logic signed [IN_BITS:0] factor;
  logic signed [WEIGHT_BITS-1:0] weight;
  always_comb begin
    sum = '0;
    factor = '0;
    weight = '0;
    for (i = 0; i < SIMD; i = i + 1) begin
      factor = {(IN_SIGNED != 0) && vector[i*IN_BITS+IN_BITS-1], vector[i*IN_BITS+:IN_BITS]};
      weight = weights[i*WEIGHT_BITS+:WEIGHT_BITS];
      sum = sum + SUM_BITS'(factor * weight);
    end
  end
endmodule
