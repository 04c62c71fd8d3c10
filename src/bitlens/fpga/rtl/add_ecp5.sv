// SPDX-License-Identifier: Apache-2.0
// Sum of two numbers in one carry chain of an ECP5, without a clock; each bit may be a function of two inputs.
//
//   sum = A + B        A[i] = first(a[i], b[i]), B[i] = second(c[i], d[i])
//
// INIT is the table of A[i] ^ B[i]: bit {d, c, b, a}. The cell takes its bits 0 to 3 for A[i], so second(0, 0) must be 0.
module add_ecp5 #(
    parameter WIDTH = 4,
    parameter [15:0] INIT = 16'h6666
) (
    input  logic [WIDTH-1:0] a,
    input  logic [WIDTH-1:0] b,
    input  logic [WIDTH-1:0] c,
    input  logic [WIDTH-1:0] d,
    output logic [WIDTH-1:0] sum
);
  localparam CELLS = (WIDTH + 1) / 2;
  wire [2*CELLS-1:0] a_in = (2 * CELLS)'(a);
  wire [2*CELLS-1:0] b_in = (2 * CELLS)'(b);
  wire [2*CELLS-1:0] c_in = (2 * CELLS)'(c);
  wire [2*CELLS-1:0] d_in = (2 * CELLS)'(d);
  wire [2*CELLS-1:0] s;
  wire [CELLS:0] carry;
  assign carry[0] = 1'b0;
  genvar i;
  generate
    for (i = 0; i < CELLS; i = i + 1) begin : gen_cell
      CCU2C #(
          .INIT0(INIT),
          .INIT1(INIT),
          .INJECT1_0("NO"),
          .INJECT1_1("NO")
      ) u_cell (
          .CIN(carry[i]),
          .A0(a_in[2*i]),
          .B0(b_in[2*i]),
          .C0(c_in[2*i]),
          .D0(d_in[2*i]),
          .A1(a_in[2*i+1]),
          .B1(b_in[2*i+1]),
          .C1(c_in[2*i+1]),
          .D1(d_in[2*i+1]),
          .S0(s[2*i]),
          .S1(s[2*i+1]),
          .COUT(carry[i+1])
      );
    end
    if (2 * CELLS > WIDTH) begin : gen_rest
      wire unused = &{1'b0, carry[CELLS], s[2*CELLS-1]};
    end else begin : gen_full
      wire unused = &{1'b0, carry[CELLS]};
    end
  endgenerate
  assign sum = s[WIDTH-1:0];
endmodule
