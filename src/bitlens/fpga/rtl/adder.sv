// SPDX-License-Identifier: Apache-2.0
// Sum of two or three numbers of which bits may come inverted, without a clock.
//
//   sum = (a ^ A_INVERT) + (b ^ B_INVERT) + (c ^ C_INVERT) + carry
//
// Three numbers are one carry chain on xc7; elsewhere COUNT should be 2.
module adder #(
    parameter WIDTH = 4,
    parameter COUNT = 3,  // 2: c is 0, so is C_INVERT
    parameter [WIDTH-1:0] A_INVERT = '0,
    parameter [WIDTH-1:0] B_INVERT = '0,
    parameter [WIDTH-1:0] C_INVERT = '0,
    parameter [63:0] TARGET = "generic"
) (
    input  logic [WIDTH-1:0] a,
    input  logic [WIDTH-1:0] b,
    input  logic [WIDTH-1:0] c,
    input  logic             carry,
    output logic [  WIDTH:0] sum     // of two numbers, or of three that are known to be small enough
);
  genvar i;
  generate
    if (TARGET == "xc7" && COUNT == 3) begin : gen_ternary
      wire [4*WIDTH-1:0] inputs;
      for (i = 0; i < WIDTH; i = i + 1) begin : gen_position
        assign inputs[4*i+:4] = {1'b0, c[i], b[i], a[i]};
      end
      ternary_xc7 #(
          .POSITIONS(WIDTH),
          .A_INVERT (A_INVERT),
          .B_INVERT (B_INVERT),
          .C_INVERT (C_INVERT)
      ) u_add (
          .inputs(inputs),
          .carry_in(carry),
          .sum(sum[WIDTH-1:0]),
          .carry_out(sum[WIDTH])
      );
    end else if (TARGET == "xc7") begin : gen_binary_xc7
      wire [WIDTH-1:0] propagate, first;
      for (i = 0; i < WIDTH; i = i + 1) begin : gen_position
        // O5: the first number's bit, which the chain generates; O6: exclusive or of both
        LUT6_2 #(
            .INIT({A_INVERT[i] ^ B_INVERT[i] ? 32'h99999999 : 32'h66666666, A_INVERT[i] ? 32'h55555555 : 32'haaaaaaaa})
        ) u_lut (
            .I0(a[i]),
            .I1(b[i]),
            .I2(1'b0),
            .I3(1'b0),
            .I4(1'b0),
            .I5(1'b1),
            .O5(first[i]),
            .O6(propagate[i])
        );
      end
      carry_xc7 #(
          .WIDTH(WIDTH)
      ) u_carry (
          .carry_in(carry),
          .propagate(propagate),
          .generated(first),
          .sum(sum[WIDTH-1:0]),
          .carry_out(sum[WIDTH])
      );
      wire unused = &{1'b0, c};
    end else if (TARGET == "ecp5" && COUNT == 2) begin : gen_ecp5
      add_ecp5 #(
          .WIDTH(WIDTH + 1),
          .FORM (3)
      ) u_add (
          .a({1'b0, a}),
          .b({1'b0, A_INVERT}),
          .c({1'b0, b}),
          .d({1'b0, B_INVERT}),
          .carry_in(carry),
          .sum(sum)
      );
      wire unused = &{1'b0, c};
    end else begin : gen_plain
      localparam BITS = WIDTH + 1;
      assign sum = BITS'(a ^ A_INVERT) + BITS'(b ^ B_INVERT) + BITS'(c ^ C_INVERT) + BITS'(carry);
    end
  endgenerate
endmodule
