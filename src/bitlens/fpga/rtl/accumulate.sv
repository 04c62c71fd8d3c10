// SPDX-License-Identifier: Apache-2.0
// Join the digit sums of one beat, then add up the beats of a vector.
//
//   total = (first ? START : total) + parts[0] + ... + parts[PARTS-2] + (NEGATIVE ? -1 : 1) * parts[PARTS-1]
//
// The parts are joined RADIX at a time with a register at every level, until the accumulator takes what is left: two numbers in
// one ternary adder on xc7, else one. Numbers are two's complement of SUM_BITS from the first level on. Latency JOINS + 1 cycles,
// throughput 1 beat a cycle; `first` and `valid` belong to the beat that entered JOINS cycles ago. No reset.
module accumulate #(
    parameter PARTS = 1,
    parameter JOINS = 0,  // levels
    parameter RADIX = 3,
    parameter SUM_BITS = 8,
    parameter NEGATIVE = 0,
    parameter ACC_BITS = 8,
    parameter [ACC_BITS-1:0] START = '0,
    parameter [63:0] TARGET = "xc7"
) (
    input  logic                             clk,
    input  logic        [PARTS*SUM_BITS-1:0] parts,
    input  logic                             first,
    input  logic                             valid,
    output logic signed [      ACC_BITS-1:0] total
);
  function automatic integer joined_at(input integer level);  // numbers of a level
    integer i;
    joined_at = PARTS;
    for (i = 0; i < level; i = i + 1) joined_at = (joined_at + RADIX - 1) / RADIX;
  endfunction

  // The last number of a level holds the last part. It stays to be negated while it only passes.
  function automatic integer negative_at(input integer level);
    integer i, count;
    negative_at = NEGATIVE;
    count = PARTS;
    for (i = 0; i < level; i = i + 1) begin
      if (count % RADIX != 1) negative_at = 0;
      count = (count + RADIX - 1) / RADIX;
    end
  endfunction

  localparam LEFT = joined_at(JOINS);
  localparam LAST_NEGATIVE = negative_at(JOINS);

  genvar level, place;
  generate
    for (level = 0; level <= JOINS; level = level + 1) begin : gen_level
      wire [joined_at(level)*SUM_BITS-1:0] values;
      if (level == 0) begin : gen_parts
        assign values = parts;
      end else begin : gen_joins
        for (place = 0; place < joined_at(level); place = place + 1) begin : gen_number
          localparam FIRST = place * RADIX;
          localparam BELOW = joined_at(level - 1);
          localparam COUNT = BELOW - FIRST < RADIX ? BELOW - FIRST : RADIX;
          localparam MINUS = place == joined_at(level) - 1 && COUNT > 1 ? negative_at(level - 1) : 0;
          wire [SUM_BITS-1:0] a = gen_level[level-1].values[FIRST*SUM_BITS+:SUM_BITS];
          wire [SUM_BITS-1:0] value;
          logic [SUM_BITS-1:0] kept;
          always_ff @(posedge clk) kept <= value;
          assign values[place*SUM_BITS+:SUM_BITS] = kept;
          if (COUNT == 1) begin : gen_pass
            assign value = a;
          end else begin : gen_sum
            wire [SUM_BITS-1:0] z = gen_level[level-1].values[(FIRST+COUNT-1)*SUM_BITS+:SUM_BITS];  // the last
            if (TARGET == "xc7") begin : gen_ternary
              wire [SUM_BITS-1:0] b;
              if (COUNT == 3) begin : gen_third
                assign b = gen_level[level-1].values[(FIRST+1)*SUM_BITS+:SUM_BITS];
              end else begin : gen_no_third
                assign b = '0;
              end
              wire [4*SUM_BITS-1:0] inputs;
              for (genvar i = 0; i < SUM_BITS; i = i + 1) begin : gen_position
                assign inputs[4*i+:4] = {1'b0, z[i], b[i], a[i]};
              end
              wire unused;
              ternary_xc7 #(
                  .POSITIONS(SUM_BITS),
                  .FORM(MINUS != 0 ? 2 : 0)
              ) u_add (
                  .inputs(inputs),
                  .carry_in(MINUS != 0),
                  .sum(value),
                  .carry_out(unused)
              );
            end else if (TARGET == "ecp5") begin : gen_ecp5
              add_ecp5 #(
                  .WIDTH(SUM_BITS)
              ) u_add (
                  .a(a),
                  .b({SUM_BITS{1'b0}}),
                  .c(z),
                  .d({SUM_BITS{MINUS != 0}}),
                  .carry_in(MINUS != 0),
                  .sum(value)
              );
            end else begin : gen_binary
              assign value = MINUS != 0 ? a - z : a + z;
            end
          end
        end
      end
    end

    // the last number, and on xc7 perhaps one held it
    wire signed [SUM_BITS-1:0] z_sum = gen_level[JOINS].values[(LEFT-1)*SUM_BITS+:SUM_BITS];
    wire [ACC_BITS-1:0] z = ACC_BITS'(z_sum);
    wire unused_sign = &{1'b0, z_sum};  // where the total has fewer bits than the beat's sum could have
    wire [ACC_BITS-1:0] next;
    always_ff @(posedge clk) if (valid) total <= next;
    if (TARGET == "xc7") begin : gen_ternary
      wire [ACC_BITS-1:0] b;
      if (LEFT == 2) begin : gen_two
        wire signed [SUM_BITS-1:0] b_sum = gen_level[JOINS].values[SUM_BITS-1:0];
        assign b = ACC_BITS'(b_sum);
        wire unused = &{1'b0, b_sum};
      end else begin : gen_one
        assign b = '0;
      end
      wire [4*ACC_BITS-1:0] inputs;
      for (genvar i = 0; i < ACC_BITS; i = i + 1) begin : gen_position
        assign inputs[4*i+:4] = {first, z[i], b[i], total[i]};
      end
      wire unused;
      ternary_xc7 #(
          .POSITIONS(ACC_BITS),
          .FORM(LAST_NEGATIVE != 0 ? 3 : 1),
          .START(START)
      ) u_add (
          .inputs(inputs),
          .carry_in(LAST_NEGATIVE != 0),
          .sum(next),
          .carry_out(unused)
      );
    end else if (TARGET == "ecp5") begin : gen_ecp5
      add_ecp5 #(
          .WIDTH(ACC_BITS),
          .FORM(1),
          .START(START)
      ) u_add (
          .a(total),
          .b({ACC_BITS{first}}),
          .c(z),
          .d({ACC_BITS{LAST_NEGATIVE != 0}}),
          .carry_in(LAST_NEGATIVE != 0),
          .sum(next)
      );
    end else begin : gen_binary
      wire [ACC_BITS-1:0] held = first ? START : total;
      assign next = LAST_NEGATIVE != 0 ? held - z : held + z;
    end
  endgenerate
endmodule
