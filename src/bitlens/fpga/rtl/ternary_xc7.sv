// SPDX-License-Identifier: Apache-2.0
// Sum of three numbers in one carry chain of a 7-series device, one LUT6_2 a position, without a clock.
//
//   {carry_out, sum} = A + B + C + carry_in        A[i], B[i], C[i]: functions of the 4 inputs of position i
//
// A position's LUT gives majority(A, B, C) (O5) to its neighbour, and A ^ B ^ C ^ (majority of the neighbour below) (O6) to the
// carry chain, whose other operand is that same majority. Numbers of n bits need n + 1 positions, and `carry_out` is bit n + 1.
// FORM says what A, B and C are:
//   0: A = I0, B = I1, C = I2
//   1: an accumulator: A = I3 ? START[i] : I0, B = I1, C = I2
//   2, 3: as 0, 1 with C inverted: with carry_in = 1 that subtracts it
// A_INVERT, B_INVERT and C_INVERT invert I0, I1 and I2 of single positions.
module ternary_xc7 #(
    parameter POSITIONS = 4,
    parameter FORM = 0,
    parameter [POSITIONS-1:0] START = '0,
    parameter [POSITIONS-1:0] A_INVERT = '0,
    parameter [POSITIONS-1:0] B_INVERT = '0,
    parameter [POSITIONS-1:0] C_INVERT = '0
) (
    input  logic [4*POSITIONS-1:0] inputs,    // I0 to I3 of position 0, of position 1, ...
    input  logic                   carry_in,
    output logic [  POSITIONS-1:0] sum,
    output logic                   carry_out
);
  function automatic [63:0] contents(input integer form, input start, input [2:0] invert);
    integer i;
    logic a, b, c, below;
    contents = '0;
    for (i = 0; i < 32; i = i + 1) begin
      a = i[0] ^ invert[0];
      b = i[1] ^ invert[1];
      c = i[2] ^ invert[2];
      below = i[4];
      if (form == 1 || form == 3) a = i[3] ? start : a;
      if (form >= 2) c = !c;
      contents[i] = (a && b) || (a && c) || (b && c);
      contents[32+i] = a ^ b ^ c ^ below;
    end
  endfunction

  logic [POSITIONS-1:0] propagate, majority;
  wire [POSITIONS-1:0] below = POSITIONS'({majority, 1'b0});
  wire unused = &{1'b0, majority[POSITIONS-1]};
  genvar i;
  generate
    for (i = 0; i < POSITIONS; i = i + 1) begin : gen_position
      LUT6_2 #(
          .INIT(contents(FORM, START[i], {C_INVERT[i], B_INVERT[i], A_INVERT[i]}))
      ) u_lut (
          .I0(inputs[4*i]),
          .I1(inputs[4*i+1]),
          .I2(inputs[4*i+2]),
          .I3(inputs[4*i+3]),
          .I4(below[i]),
          .I5(1'b1),
          .O5(majority[i]),
          .O6(propagate[i])
      );
    end
  endgenerate
  carry_xc7 #(
      .WIDTH(POSITIONS)
  ) u_carry (
      .carry_in(carry_in),
      .propagate(propagate),
      .generated(below),
      .sum(sum),
      .carry_out(carry_out)
  );
endmodule
