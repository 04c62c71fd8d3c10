// SPDX-License-Identifier: Apache-2.0
// Sum of COUNT products of a weight's digit and an unsigned number, without a clock: where digit_sum.sv begins.
//
//   sum = sum over i of product(digit[i], number[i])
//
// With M = 2^IN_BITS - 1, N = 2^DIGIT_BITS - 1 and H = 2^(DIGIT_BITS-1), the product of digit d and number u is
//   odd digits (the weight is N - 2*d):       (N - 2*d) * u + M * d       0 to N * M
//   two's complement digits (the weight is d): d * u + H * M              0 to N * M
//   gated, odd:    d ? M - u : u         (the same as above, for a digit of one bit)
//   gated, else:   d ? u : 0
//   multiplied:    d * u + 2^(IN_BITS+DIGIT_BITS-1)                        d two's complement, above 0
// Constants that come with a weight go into breakpoints or where the accumulator begins, so no product needs a sign.
module leaf #(
    parameter COUNT = 1,  // gated: at most 2; multiplied: 1
    parameter IN_BITS = 2,
    parameter DIGIT_BITS = 2,
    parameter ODD = 0,
    parameter [63:0] FORM = "table",  // "table" of at most 6 inputs, "gated" or "multiply"
    parameter [63:0] TARGET = "generic",
    parameter OUT_BITS = 4
) (
    input  logic [   COUNT*IN_BITS-1:0] numbers,
    input  logic [COUNT*DIGIT_BITS-1:0] digits,
    output logic [        OUT_BITS-1:0] sum
);
  localparam M = (1 << IN_BITS) - 1;
  localparam N = (1 << DIGIT_BITS) - 1;
  localparam H = 1 << (DIGIT_BITS - 1);
  localparam INPUTS = COUNT * (IN_BITS + DIGIT_BITS);

  function automatic integer entry(input integer index);  // of the table: digits above numbers
    integer i, u, d;
    entry = 0;
    for (i = 0; i < COUNT; i = i + 1) begin
      u = (index >> (i * IN_BITS)) & M;
      d = (index >> (COUNT * IN_BITS + i * DIGIT_BITS)) & N;
      if (ODD != 0) entry = entry + (N - 2 * d) * u + M * d;
      else entry = entry + (d < H ? d : d - 2 * H) * u + H * M;
    end
  endfunction

  function automatic [63:0] column(input integer place);  // one bit of every entry, repeated to 64
    integer i;
    column = '0;
    for (i = 0; i < 64; i = i + 1) column[i] = 1'((entry(i & ((1 << INPUTS) - 1)) >> place) & 1);
  endfunction

  genvar i;
  generate
    if (FORM == "multiply") begin : gen_multiply
      wire signed [IN_BITS+DIGIT_BITS-1:0] product = $signed(digits) * $signed({1'b0, numbers});
      assign sum = OUT_BITS'({~product[IN_BITS+DIGIT_BITS-1], product[IN_BITS+DIGIT_BITS-2:0]});
    end else if (FORM == "gated" && COUNT == 1) begin : gen_one
      assign sum = OUT_BITS'(ODD != 0 ? numbers ^ {IN_BITS{digits}} : numbers & {IN_BITS{digits}});
    end else if (FORM == "gated" && TARGET == "xc7") begin : gen_pair_xc7
      // O5: the first number's bit, which the chain generates; O6: exclusive or of both
      localparam [63:0] INIT = ODD != 0 ? 64'h69966996_66666666 : 64'h78887888_88888888;
      wire [IN_BITS-1:0] propagate, first, low;
      for (i = 0; i < IN_BITS; i = i + 1) begin : gen_bit
        LUT6_2 #(
            .INIT(INIT)
        ) u_lut (
            .I0(digits[0]),
            .I1(numbers[i]),
            .I2(digits[1]),
            .I3(numbers[IN_BITS+i]),
            .I4(1'b0),
            .I5(1'b1),
            .O5(first[i]),
            .O6(propagate[i])
        );
      end
      wire top;
      carry_xc7 #(
          .WIDTH(IN_BITS)
      ) u_carry (
          .carry_in(1'b0),
          .propagate(propagate),
          .generated(first),
          .sum(low),
          .carry_out(top)
      );
      assign sum = OUT_BITS'({top, low});
    end else if (FORM == "gated" && TARGET == "ecp5") begin : gen_pair_ecp5
      add_ecp5 #(
          .WIDTH(IN_BITS + 1),
          .FORM(ODD != 0 ? 3 : 2)
      ) u_add (
          .a({1'b0, {IN_BITS{digits[0]}}}),
          .b({1'b0, numbers[IN_BITS-1:0]}),
          .c({1'b0, {IN_BITS{digits[1]}}}),
          .d({1'b0, numbers[2*IN_BITS-1:IN_BITS]}),
          .carry_in(1'b0),
          .sum(sum[IN_BITS:0])
      );
    end else if (FORM == "gated") begin : gen_pair
      wire [IN_BITS-1:0] first = ODD != 0 ? numbers[IN_BITS-1:0] ^ {IN_BITS{digits[0]}}
                                          : numbers[IN_BITS-1:0] & {IN_BITS{digits[0]}};
      wire [IN_BITS-1:0] second = ODD != 0 ? numbers[2*IN_BITS-1:IN_BITS] ^ {IN_BITS{digits[1]}}
                                           : numbers[2*IN_BITS-1:IN_BITS] & {IN_BITS{digits[1]}};
      assign sum = OUT_BITS'(first) + OUT_BITS'(second);
    end else if (TARGET == "xc7") begin : gen_table_xc7
      wire [5:0] index = 6'({digits, numbers});
      if (INPUTS == 6) begin : gen_six
        for (i = 0; i < OUT_BITS; i = i + 1) begin : gen_bit
          localparam [63:0] COLUMN = column(i);
          assign sum[i] = COLUMN[index];
        end
      end else begin : gen_five
        for (i = 0; i < OUT_BITS; i = i + 2) begin : gen_bits
          localparam [63:0] LOW = column(i);
          localparam [63:0] HIGH = column(i + 1);
          wire low, high;
          LUT6_2 #(
              .INIT({HIGH[31:0], LOW[31:0]})
          ) u_lut (
              .I0(index[0]),
              .I1(index[1]),
              .I2(index[2]),
              .I3(index[3]),
              .I4(index[4]),
              .I5(1'b1),
              .O5(low),
              .O6(high)
          );
          assign sum[i] = low;
          if (i + 1 < OUT_BITS) begin : gen_high
            assign sum[i+1] = high;
          end else begin : gen_none
            wire unused = &{1'b0, high};
          end
        end
        wire unused = &{1'b0, index[5]};
      end
    end else begin : gen_table
      wire [5:0] index = 6'({digits, numbers});
      for (i = 0; i < OUT_BITS; i = i + 1) begin : gen_bit
        localparam [63:0] COLUMN = column(i);
        assign sum[i] = COLUMN[index];
      end
    end
  endgenerate
endmodule
