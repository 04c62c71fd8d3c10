// SPDX-License-Identifier: Apache-2.0
// Requantization of one lane by binary search: a level of breakpoints for every bit of the code, the highest bit first.
//
//   bit = total >= breakpoint[level][group][bits found so far],   for level 0 to bits - 1
//   code = all bits, each inverted where the channel falls
//   bits == 0:  code = total + breakpoint[0][group]      the sum itself, with its bias, two's complement
//
// So a level has one comparator and one memory, and any step table that rises or falls fits, at the cost of 2^bits - 1
// breakpoints a channel. Latency 2 * LEVELS + 1 cycles, throughput 1 code a cycle. No reset; the contents are written before use.
module unit_search #(
    parameter ACC_BITS = 24,
    parameter GROUPS = 16,  // channels of this lane at most
    parameter LEVELS = 8,   // bits of a code at most
    parameter GROUP = $clog2(GROUPS) > 0 ? $clog2(GROUPS) : 1,
    parameter ADDRESS = GROUP + LEVELS - 1
) (
    input  logic                clk,
    input  logic [         3:0] bits,
    input  logic [ACC_BITS-1:0] total,
    input  logic [   GROUP-1:0] group,
    output logic [ACC_BITS-1:0] code,
    input  logic                write,    // of a breakpoint; level 0 has "falls" above it
    input  logic [         3:0] level,
    input  logic [ ADDRESS-1:0] address,  // group and bits found so far
    input  logic [  ACC_BITS:0] word
);
  genvar i;
  generate
    for (i = 0; i <= LEVELS; i = i + 1) begin : gen_level  // what enters a level
      logic [ACC_BITS-1:0] sum;
      logic [GROUP-1:0] place;
      logic [LEVELS-1:0] found;
      logic falls;
      if (i == 0) begin : gen_first
        always_ff @(posedge clk) begin
          sum   <= total;
          place <= group;
        end
        assign found = '0;
        assign falls = 1'b0;
      end else begin : gen_next
        localparam L = i - 1;
        localparam WIDTH = L == 0 ? ACC_BITS + 1 : ACC_BITS;
        logic [WIDTH-1:0] breakpoints[0:(GROUPS<<L)-1];
        logic [WIDTH-1:0] row;
        logic [ACC_BITS-1:0] held;
        logic [GROUP-1:0] held_place;
        logic [LEVELS-1:0] held_found;
        logic held_falls;
        wire [GROUP+L-1:0] from;
        if (L == 0) begin : gen_top
          assign from = gen_level[0].place;
        end else begin : gen_below
          assign from = {gen_level[L].place, gen_level[L].found[L-1:0]};
        end
        wire reached = $signed(held) >= $signed(row[ACC_BITS-1:0]);
        always_ff @(posedge clk) begin
          if (write && level == 4'(L)) breakpoints[address[GROUP+L-1:0]] <= word[WIDTH-1:0];
          row <= breakpoints[from];
          held <= gen_level[L].sum;
          held_place <= gen_level[L].place;
          held_found <= gen_level[L].found;
          held_falls <= gen_level[L].falls;
          sum <= L == 0 && bits == 4'd0 ? held + row[ACC_BITS-1:0] : held;
          place <= held_place;
          found <= bits > 4'(L) ? LEVELS'({held_found, reached}) : held_found;
          falls <= L == 0 ? row[WIDTH-1] && bits != 4'd0 : held_falls;
        end
        if (L == 0) begin : gen_unused
          wire unused = &{1'b0, held_falls};
        end
      end
    end
  endgenerate
  wire [LEVELS-1:0] mask = ~({LEVELS{1'b1}} << bits);
  wire [LEVELS-1:0] last = gen_level[LEVELS].found ^ (gen_level[LEVELS].falls ? mask : '0);
  assign code = bits == 4'd0 ? gen_level[LEVELS].sum : ACC_BITS'(last);
  wire unused = &{1'b0, gen_level[LEVELS].place};
endmodule
