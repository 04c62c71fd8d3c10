// SPDX-License-Identifier: Apache-2.0
// Functions of one short index, without a clock.
//
//   out[i] = CONTENTS[i*2^INPUTS + index]
//
// Two functions of up to 5 inputs share a lookup table of a 7-series device.
module tables #(
    parameter INPUTS = 4,
    parameter COLUMNS = 2,
    parameter [COLUMNS*(1<<INPUTS)-1:0] CONTENTS = '0,
    parameter [63:0] TARGET = "generic"
) (
    input  logic [ INPUTS-1:0] index,
    output logic [COLUMNS-1:0] out
);
  localparam ROWS = 1 << INPUTS;

  function automatic [31:0] column(input integer place);  // repeated to 32 rows; nothing behind the last
    integer i;
    column = '0;
    if (place < COLUMNS) for (i = 0; i < 32; i = i + 1) column[i] = CONTENTS[place*ROWS+i%ROWS];
  endfunction

  genvar i;
  generate
    if (TARGET == "xc7" && INPUTS <= 5) begin : gen_xc7
      wire [4:0] five = 5'(index);
      for (i = 0; i < COLUMNS; i = i + 2) begin : gen_pair
        wire low, high;
        LUT6_2 #(
            .INIT({column(i + 1), column(i)})
        ) u_lut (
            .I0(five[0]),
            .I1(five[1]),
            .I2(five[2]),
            .I3(five[3]),
            .I4(five[4]),
            .I5(1'b1),
            .O5(low),
            .O6(high)
        );
        assign out[i] = low;
        if (i + 1 < COLUMNS) begin : gen_high
          assign out[i+1] = high;
        end else begin : gen_none
          wire unused = &{1'b0, high};
        end
      end
    end else begin : gen_plain
      for (i = 0; i < COLUMNS; i = i + 1) begin : gen_column
        localparam [ROWS-1:0] COLUMN = CONTENTS[i*ROWS+:ROWS];
        assign out[i] = COLUMN[index];
      end
    end
  endgenerate
endmodule
