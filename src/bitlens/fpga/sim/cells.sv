// SPDX-License-Identifier: Apache-2.0
// What the primitives of the devices do, for the simulation of structural bodies. One file: the names are the vendors'.
// verilator lint_off DECLFILENAME
module LUT6_2 #(
    parameter [63:0] INIT = '0
) (
    input  logic I0, I1, I2, I3, I4, I5,
    output logic O5, O6
);
  assign O5 = INIT[{1'b0, I4, I3, I2, I1, I0}];
  assign O6 = INIT[{I5, I4, I3, I2, I1, I0}];
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
  wire p0 = INIT0[{D0, C0, B0, A0}];
  wire p1 = INIT1[{D1, C1, B1, A1}];
  wire c1 = p0 ? CIN : INIT0[{2'b00, B0, A0}];
  assign S0 = p0 ^ CIN;
  assign S1 = p1 ^ c1;
  assign COUT = p1 ? c1 : INIT1[{2'b00, B1, A1}];
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
