// SPDX-License-Identifier: Apache-2.0
// Sum of two numbers in one carry chain of an ECP5, without a clock; each bit may be a function of two inputs.
//
//   sum = A + B + carry_in        A[i] = first(a[i], b[i]), B[i] = second(c[i], d[i])
//
// FORM says which functions:
//   0: A = a,                   B = c ^ d
//   1: A = b ? START[i] : a,    B = c ^ d       an accumulator
//   2: A = a & b,               B = c & d       gated numbers
//   3: A = a ^ b,               B = c ^ d       gated numbers, inverted
// A cell's table is that of A ^ B, and it takes the table's first four bits for A: second(0, 0) must be 0.
module add_ecp5 #(
    parameter WIDTH = 4,
    parameter FORM = 0,
    parameter [WIDTH-1:0] START = '0
) (
    input  logic [WIDTH-1:0] a,
    input  logic [WIDTH-1:0] b,
    input  logic [WIDTH-1:0] c,
    input  logic [WIDTH-1:0] d,
    input  logic             carry_in,
    output logic [WIDTH-1:0] sum
);
  function automatic [15:0] contents(input integer form, input start);
    integer at;
    logic left, right;
    contents = '0;
    for (at = 0; at < 16; at = at + 1) begin
      left = form == 0 ? at[0] : form == 1 ? (at[1] ? start : at[0]) : form == 2 ? at[0] && at[1] : at[0] ^ at[1];
      right = form == 2 ? at[2] && at[3] : at[2] ^ at[3];
      contents[at] = left ^ right;
    end
  endfunction

  localparam CELLS = (WIDTH + 1) / 2;
  localparam [2*CELLS-1:0] START_BITS = (2 * CELLS)'(START);
  wire [2*CELLS-1:0] a_in = (2 * CELLS)'(a);
  wire [2*CELLS-1:0] b_in = (2 * CELLS)'(b);
  wire [2*CELLS-1:0] c_in = (2 * CELLS)'(c);
  wire [2*CELLS-1:0] d_in = (2 * CELLS)'(d);
  wire [2*CELLS-1:0] s;
  wire [CELLS:0] carry;
  assign carry[0] = carry_in;
  genvar i;
  generate
    for (i = 0; i < CELLS; i = i + 1) begin : gen_cell
      CCU2C #(
          .INIT0(contents(FORM, START_BITS[2*i])),
          .INIT1(contents(FORM, START_BITS[2*i+1])),
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
