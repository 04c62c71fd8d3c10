// SPDX-License-Identifier: Apache-2.0
// A carry chain of 7-series CARRY4 cells, without a clock.
//
//   carry[-1] = carry_in;   carry[i] = propagate[i] ? carry[i-1] : generated[i];   sum[i] = propagate[i] ^ carry[i-1]
module carry_xc7 #(
    parameter WIDTH = 4
) (
    input  logic             carry_in,
    input  logic [WIDTH-1:0] propagate,
    input  logic [WIDTH-1:0] generated,
    output logic [WIDTH-1:0] sum,
    output logic             carry_out   // of the last position
);
  localparam CELLS = (WIDTH + 3) / 4;
  wire [4*CELLS-1:0] s = (4 * CELLS)'(propagate);
  wire [4*CELLS-1:0] di = (4 * CELLS)'(generated);
  wire [4*CELLS-1:0] o, co;
  genvar i;
  generate
    for (i = 0; i < CELLS; i = i + 1) begin : gen_cell
      CARRY4 u_carry (
          .CI(i == 0 ? 1'b0 : co[(i==0?1:i)*4-1]),
          .CYINIT(i == 0 ? carry_in : 1'b0),
          .DI(di[i*4+:4]),
          .S(s[i*4+:4]),
          .O(o[i*4+:4]),
          .CO(co[i*4+:4])
      );
    end
    if (4 * CELLS > WIDTH) begin : gen_rest
      wire unused = &{1'b0, o[4*CELLS-1:WIDTH], co};
    end else begin : gen_full
      wire unused = &{1'b0, co};
    end
  endgenerate
  assign sum = o[WIDTH-1:0];
  assign carry_out = co[WIDTH-1];
endmodule
