// SPDX-License-Identifier: Apache-2.0
// Product of two short vectors, without a clock: the plain form of what pe.sv sums in one beat.
//
//   sum = sum over i of product(weight[i], number[i])                            (pe.sv)
module dot #(
    parameter SIMD = 1,
    parameter IN_BITS = 2,
    parameter WEIGHT_BITS = 2,
    parameter ODD = 0,
    parameter SUM_BITS = 8
) (
    input  logic        [    SIMD*IN_BITS-1:0] numbers,  // unsigned
    input  logic        [SIMD*WEIGHT_BITS-1:0] weights,
    output logic signed [        SUM_BITS-1:0] sum
);
  localparam [IN_BITS-1:0] M = '1;
  localparam [WEIGHT_BITS-1:0] N = '1;
  integer i;
  logic [IN_BITS-1:0] number;
  logic signed [WEIGHT_BITS:0] weight;
  logic signed [IN_BITS+1:0] factor;
  always_comb begin
    sum = '0;
    number = '0;
    weight = '0;
    factor = '0;
    for (i = 0; i < SIMD; i = i + 1) begin
      number = numbers[i*IN_BITS+:IN_BITS];
      if (ODD != 0) begin  // (N - 2*d) * number + M*d = d * (M - 2*number) + N * number
        weight = {1'b0, weights[i*WEIGHT_BITS+:WEIGHT_BITS]};
        factor = $signed({2'b0, M}) - $signed({1'b0, number, 1'b0});
        sum = sum + SUM_BITS'(weight) * SUM_BITS'(factor) + $signed(SUM_BITS'(N) * SUM_BITS'(number));
      end else begin
        weight = {weights[i*WEIGHT_BITS+WEIGHT_BITS-1], weights[i*WEIGHT_BITS+:WEIGHT_BITS]};
        factor = {2'b0, number};
        sum = sum + SUM_BITS'(weight) * SUM_BITS'(factor);
      end
    end
  end
endmodule
