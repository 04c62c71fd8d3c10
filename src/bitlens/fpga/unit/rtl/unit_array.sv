// SPDX-License-Identifier: Apache-2.0
// PE sums of SIMD products a cycle, with the weights of a whole layer beside them, and one sum of numbers for all.
//
//   total[o] = (sum of digit products of o << twice) + gain * (sum of numbers) + offset          modulo 2^ACC_BITS
//
// A weight is 2^twice * (its digits' value) + gain: so two bits hold -3, -1, 1, 3 as well as 0 and 1. `offset` takes back what the
// products carry above their value. LANES totals a cycle leave in order, in PE / LANES cycles. Latency from the last beat's
// addresses to the first totals LEVELS + 7 cycles; PE / LANES + 2 cycles must lie between two `last`. Throughput 1 beat a cycle.
// Reset stops what is on the way.
module unit_array #(
    parameter PE = 16,
    parameter SIMD = 16,
    parameter LANES = 4,
    parameter ACC_BITS = 24,
    parameter DEPTH = 1024,  // words of weights
    parameter DEEP = $clog2(DEPTH),
    parameter PE_BITS = $clog2(PE) > 0 ? $clog2(PE) : 1,
    parameter [63:0] TARGET = "generic",
    parameter BEHAVIOURAL = 0
) (
    input  logic                      clk,
    input  logic                      rst,
    input  logic [        2*SIMD-1:0] number_word,  // of the ring, 2 cycles behind its address
    input  logic [          DEEP-1:0] address,      // of the weights
    input  logic                      filled,
    input  logic [               1:0] fill_digit,
    input  logic                      first,        // all of these with the address
    input  logic                      shift,
    input  logic                      valid,
    input  logic                      last,
    input  logic                      first_sum,
    input  logic                      valid_sum,
    input  logic                      twice,
    input  logic signed [       15:0] gain,
    input  logic [      ACC_BITS-1:0] offset,
    input  logic                      write,        // a word of weights
    input  logic [       PE_BITS-1:0] write_pe,
    input  logic [          DEEP-1:0] write_address,
    input  logic [        2*SIMD-1:0] write_word,
    output logic [LANES*ACC_BITS-1:0] totals,
    output logic                      totals_valid
);
  localparam RADIX = TARGET == "xc7" ? 3 : 2;
  function automatic integer levels_of(input integer count);
    integer rest;
    rest = count;
    for (levels_of = 0; rest > 1; levels_of = levels_of + 1) rest = (rest + RADIX - 1) / RADIX;
  endfunction
  localparam LEVELS = levels_of(SIMD);
  localparam LATENCY = LEVELS + 2;  // of unit_pe.sv
  localparam BEATS = PE / LANES;

  // numbers: the word of the ring or the digit of zero, 1 cycle
  wire filled_2;
  wire [1:0] digit_2;
  delay #(
      .WIDTH (3),
      .CYCLES(2)
  ) u_fill (
      .clk(clk),
      .in ({filled, fill_digit}),
      .out({filled_2, digit_2})
  );
  logic [2*SIMD-1:0] numbers;
  always_ff @(posedge clk) numbers <= filled_2 ? {SIMD{digit_2}} : number_word;

  // what belongs to a beat when its sum is added
  wire first_late, shift_late, valid_late, last_late, first_sum_late, valid_sum_late;
  delay #(
      .WIDTH (6),
      .CYCLES(3 + LATENCY - 1)
  ) u_flags (
      .clk(clk),
      .in ({first, shift, valid && !rst, last && !rst, first_sum, valid_sum && !rst}),
      .out({first_late, shift_late, valid_late, last_late, first_sum_late, valid_sum_late})
  );

  wire [PE*ACC_BITS-1:0] sums;
  genvar pe;
  generate
    for (pe = 0; pe < PE; pe = pe + 1) begin : gen_pe
      (* ram_style = "block" *)
      logic [2*SIMD-1:0] weights[0:DEPTH-1];
      logic [2*SIMD-1:0] read, digits, digits_late;
      always_ff @(posedge clk) begin
        if (write && write_pe == PE_BITS'(pe)) weights[write_address] <= write_word;
        read <= weights[address];
        digits <= read;
        digits_late <= digits;
      end
      unit_pe #(
          .SIMD(SIMD),
          .ACC_BITS(ACC_BITS),
          .RADIX(RADIX),
          .LEVELS(LEVELS),
          .LATENCY(LATENCY),
          .TARGET(TARGET),
          .BEHAVIOURAL(BEHAVIOURAL)
      ) u_pe (
          .clk(clk),
          .numbers(numbers),
          .digits(digits_late),
          .first(first_late),
          .shift(shift_late),
          .valid(valid_late),
          .total(sums[pe*ACC_BITS+:ACC_BITS])
      );
    end
  endgenerate
  wire [ACC_BITS-1:0] number_sum;
  unit_pe #(
      .SIMD(SIMD),
      .ACC_BITS(ACC_BITS),
      .RADIX(RADIX),
      .LEVELS(LEVELS),
      .LATENCY(LATENCY),
      .TARGET(TARGET),
      .BEHAVIOURAL(BEHAVIOURAL)
  ) u_numbers (
      .clk(clk),
      .numbers(numbers),
      .digits({SIMD{2'b01}}),
      .first(first_sum_late),
      .shift(shift_late),
      .valid(valid_sum_late),
      .total(number_sum)
  );

  // sums are whole in the cycle of `whole`; the shared addend needs 2 cycles more
  logic whole;
  logic [1:0] near;
  logic [PE*ACC_BITS-1:0] leaving;
  logic signed [ACC_BITS-1:0] product, addend;
  logic [$clog2(BEATS+1)-1:0] left;
  assign totals_valid = left != '0;
  genvar l;
  generate
    for (l = 0; l < LANES; l = l + 1) begin : gen_lane
      wire [ACC_BITS-1:0] sum = leaving[l*ACC_BITS+:ACC_BITS];
      assign totals[l*ACC_BITS+:ACC_BITS] = (twice ? {sum[ACC_BITS-2:0], 1'b0} : sum) + addend;
    end
  endgenerate
  always_ff @(posedge clk) begin
    whole <= last_late && !rst;
    near <= rst ? '0 : {near[0], whole};
    product <= ACC_BITS'($signed(number_sum) * ACC_BITS'(gain));
    if (near[0]) addend <= product + offset;
    if (whole) leaving <= sums;
    else if (left != '0) leaving <= leaving >> (LANES * ACC_BITS);
    if (rst) left <= '0;
    else if (near[0]) left <= ($clog2(BEATS + 1))'(BEATS);
    else if (left != '0) left <= left - 1'b1;
  end
  wire unused = near[1];
endmodule
