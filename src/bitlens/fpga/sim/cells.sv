// SPDX-License-Identifier: Apache-2.0
// What the primitives of the devices do, for the simulation of structural bodies. One file: the names are the vendors'.
// Tables are multiplexers: where an input is unknown (x: a register before its first beat) but does not matter, the output is known.
// verilator lint_off DECLFILENAME
module cell_table #(
    parameter [15:0] INIT = '0
) (
    input  logic [3:0] in,
    output logic       out
);
  wire [7:0] of8 = in[3] ? INIT[15:8] : INIT[7:0];
  wire [3:0] of4 = in[2] ? of8[7:4] : of8[3:0];
  wire [1:0] of2 = in[1] ? of4[3:2] : of4[1:0];
  assign out = in[0] ? of2[1] : of2[0];
endmodule

module LUT6_2 #(
    parameter [63:0] INIT = '0
) (
    input  logic I0, I1, I2, I3, I4, I5,
    output logic O5, O6
);
  wire [3:0] of16;
  genvar i;
  generate
    for (i = 0; i < 4; i = i + 1) begin : gen_quarter
      cell_table #(.INIT(INIT[16*i+:16])) u_table (.in({I3, I2, I1, I0}), .out(of16[i]));
    end
  endgenerate
  assign O5 = I4 ? of16[1] : of16[0];
  assign O6 = I5 ? (I4 ? of16[3] : of16[2]) : O5;
endmodule

module CARRY4 (
    input  logic       CI,
    input  logic       CYINIT,
    input  logic [3:0] DI,
    input  logic [3:0] S,
    output logic [3:0] O,
    output logic [3:0] CO
);
  wire c0 = CI | CYINIT;
  wire c1 = S[0] ? c0 : DI[0];
  wire c2 = S[1] ? c1 : DI[1];
  wire c3 = S[2] ? c2 : DI[2];
  wire c4 = S[3] ? c3 : DI[3];
  assign O = S ^ {c3, c2, c1, c0};
  assign CO = {c4, c3, c2, c1};
endmodule

module CCU2C #(
    parameter [15:0] INIT0 = '0,
    parameter [15:0] INIT1 = '0,
    parameter INJECT1_0 = "NO",  // "YES" is not modelled
    parameter INJECT1_1 = "NO"
) (
    input  logic CIN, A0, B0, C0, D0, A1, B1, C1, D1,
    output logic S0, S1, COUT
);
  wire p0, p1, g0, g1;
  cell_table #(.INIT(INIT0)) u_p0 (.in({D0, C0, B0, A0}), .out(p0));
  cell_table #(.INIT(INIT1)) u_p1 (.in({D1, C1, B1, A1}), .out(p1));
  cell_table #(.INIT(INIT0)) u_g0 (.in({2'b00, B0, A0}), .out(g0));
  cell_table #(.INIT(INIT1)) u_g1 (.in({2'b00, B1, A1}), .out(g1));
  wire c1 = p0 ? CIN : g0;
  assign S0 = p0 ^ CIN;
  assign S1 = p1 ^ c1;
  assign COUT = p1 ? c1 : g1;
  wire unused = &{1'b0, INJECT1_0 == "NO", INJECT1_1 == "NO"};
endmodule

module ebr_output_register #(
    parameter WIDTH = 8
) (
    input  logic             clk,
    input  logic [WIDTH-1:0] in,
    output logic [WIDTH-1:0] out
);
  always_ff @(posedge clk) out <= in;
endmodule
