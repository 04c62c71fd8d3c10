// SPDX-License-Identifier: Apache-2.0
// All lanes of a matrix unit in the form that simulates fast: the same totals in the same cycles as rom.sv and PE times pe.sv.
//
// Where numbers and weights have few bits, digit by digit of the weights: a mask of the numbers whose digit is 1, and sums of
// neighbouring fields of a 64-bit word until few fields are left. Else several lanes lie in fields of one 64-bit factor.
// Latency and throughput as pe.sv; no reset. It is not meant for synthesis.
module lanes #(
    parameter PE = 1,
    parameter SIMD = 1,
    parameter IN_BITS = 2,
    parameter WEIGHT_BITS = 2,
    parameter ODD = 0,
    parameter ACC_BITS = 8,
    parameter START = 0,
    parameter DEPTH = 1,
    parameter READ = 2,
    parameter LATENCY = 2,
    parameter CONTENTS = "",
    parameter ADDRESS = $clog2(DEPTH) > 0 ? $clog2(DEPTH) : 1
) (
    input  logic                    clk,
    input  logic [     ADDRESS-1:0] address,
    input  logic [SIMD*IN_BITS-1:0] numbers,  // unsigned, READ cycles behind the address
    input  logic                    first,    // of the vector's beats, LATENCY - 1 cycles behind the numbers
    input  logic                    valid,
    output logic [ PE*ACC_BITS-1:0] totals
);
  localparam WORD = PE * SIMD * WEIGHT_BITS;
  localparam FEW = IN_BITS <= 4 && WEIGHT_BITS <= 4 ? 1 : 0;
  localparam CHUNK = 64 / IN_BITS;  // numbers of a word
  localparam CHUNKS = (SIMD + CHUNK - 1) / CHUNK;
  localparam FIELD = IN_BITS + WEIGHT_BITS + $clog2(SIMD) + 1;  // of a lane's sum, with its sign
  localparam GROUP = FIELD > 32 ? 1 : 64 / FIELD;  // lanes of a factor
  localparam GROUPS = (PE + GROUP - 1) / GROUP;
  localparam ENTRIES = FEW != 0 ? PE * WEIGHT_BITS * CHUNKS : GROUPS * SIMD;  // 64-bit words of an address

  logic [WORD-1:0] rom[0:DEPTH-1];
  logic [63:0] factors[0:DEPTH*ENTRIES-1];
  logic signed [31:0] base[0:DEPTH*PE-1];
  integer row, place, lane, i, digit, weight;
  // A comment that stops unrolling is a statement to Verilator: each loop has its begin and end.
  initial begin
    if (CONTENTS != "") $readmemh(CONTENTS, rom);
    /* verilator unroll_disable */
    for (place = 0; place < DEPTH * ENTRIES; place = place + 1) factors[place] = '0;
    /* verilator unroll_disable */
    for (row = 0; row < DEPTH; row = row + 1) begin
      /* verilator unroll_disable */
      for (lane = 0; lane < PE; lane = lane + 1) begin
        base[row*PE+lane] = 0;
        /* verilator unroll_disable */
        for (i = 0; i < SIMD; i = i + 1) begin
          weight = 0;
          /* verilator unroll_disable */
          for (digit = 0; digit < WEIGHT_BITS; digit = digit + 1) begin
            if (rom[row][(lane*SIMD+i)*WEIGHT_BITS+digit]) begin
              weight = weight + (1 << digit);
              if (FEW != 0) begin
                place = row * ENTRIES + (lane * WEIGHT_BITS + digit) * CHUNKS + i / CHUNK;
                factors[place] = factors[place] | (((64'd1 << IN_BITS) - 64'd1) << ((i % CHUNK) * IN_BITS));
              end
            end
          end
          if (ODD != 0) base[row*PE+lane] = base[row*PE+lane] + weight * ((1 << IN_BITS) - 1);
          if (ODD != 0 && FEW == 0) weight = (1 << WEIGHT_BITS) - 1 - 2 * weight;
          if (ODD == 0 && weight >= (1 << (WEIGHT_BITS - 1))) weight = weight - (1 << WEIGHT_BITS);
          if (FEW == 0) begin
            place = row * ENTRIES + (lane / GROUP) * SIMD + i;
            factors[place] = factors[place] + (64'(weight) << ((lane % GROUP) * FIELD));
          end
        end
      end
    end
  end

  // a number of fields of F bits, each the sum of two neighbours of F/2 bits
  localparam F0 = IN_BITS, F1 = 2 * F0, F2 = 2 * F1, F3 = 2 * F2;
  localparam F = F0 >= 16 ? F0 : F1 >= 16 ? F1 : F2 >= 16 ? F2 : F3 >= 16 ? F3 : 16;
  function automatic [63:0] low(input integer field);
    integer k;
    low = '0;
    for (k = 0; k < 64; k = k + 1) if ((k / field) % 2 == 0) low[k] = 1'b1;
  endfunction
  localparam [63:0] M0 = low(F0), M1 = low(F1), M2 = low(F2), M3 = low(F3);
  localparam [63:0] MF = (64'd1 << F) - 64'd1;

  function automatic [63:0] pairs(input [63:0] word);
    pairs = word;
    if (F0 < 16) pairs = (pairs & M0) + ((pairs >> F0) & M0);
    if (F1 < 16) pairs = (pairs & M1) + ((pairs >> F1) & M1);
    if (F2 < 16) pairs = (pairs & M2) + ((pairs >> F2) & M2);
    if (F3 < 16) pairs = (pairs & M3) + ((pairs >> F3) & M3);
  endfunction

  function automatic signed [31:0] all(input [63:0] word);
    all = 32'((word & MF) + ((word >> F) & MF) + ((word >> (2 * F)) & MF) + ((word >> (3 * F)) & MF));
  endfunction

  // everything that belongs to a beat, until its sum is added: then all is done at once, and in other cycles nothing
  wire [ADDRESS-1:0] at;
  delay #(
      .WIDTH (ADDRESS),
      .CYCLES(READ + LATENCY - 1)
  ) u_at (
      .clk(clk),
      .in (address),
      .out(at)
  );
  wire [SIMD*IN_BITS-1:0] late;
  delay #(
      .WIDTH (SIMD * IN_BITS),
      .CYCLES(LATENCY - 1)
  ) u_late (
      .clk(clk),
      .in (numbers),
      .out(late)
  );

  localparam PIECES = FEW != 0 ? CHUNKS : SIMD;
  localparam PIECE = FEW != 0 ? CHUNK * IN_BITS : IN_BITS;
  wire [PIECES*PIECE-1:0] padded = (PIECES * PIECE)'(late);
  logic signed [ACC_BITS-1:0] total[0:PE-1];
  generate
    if (FEW != 0) begin : gen_few
      always @(posedge clk)  // for always_ff Icarus asks that loops could become logic
        if (valid) begin : gen_sum
          integer l, d, c, from;
          logic [63:0] pieces[0:PIECES-1];
          logic [63:0] fields;
          logic signed [31:0] sum, whole;
          fields = '0;
          for (c = 0; c < PIECES; c = c + 1) begin
            pieces[c] = 64'(padded[c*PIECE+:PIECE]);
            if (ODD != 0) fields = fields + pairs(pieces[c]);
          end
          whole = all(fields) * ((1 << WEIGHT_BITS) - 1);
          from = 32'(at) * ENTRIES;
          for (l = 0; l < PE; l = l + 1) begin
            sum = 0;
            for (d = 0; d < WEIGHT_BITS; d = d + 1) begin
              fields = '0;
              for (c = 0; c < PIECES; c = c + 1) fields = fields + pairs(pieces[c] & factors[from+(l*WEIGHT_BITS+d)*CHUNKS+c]);
              if (ODD == 0 && d == WEIGHT_BITS - 1) sum = sum - (all(fields) << d);
              else sum = sum + (all(fields) << d);
            end
            if (ODD != 0) sum = whole - 2 * sum + base[32'(at)*PE+l];
            total[l] <= (first ? ACC_BITS'(START) : total[l]) + ACC_BITS'(sum);
          end
        end
    end else begin : gen_many
      always @(posedge clk)  // for always_ff Icarus asks that loops could become logic
        if (valid) begin : gen_sum
          integer g, k, l, from;
          logic [63:0] pieces[0:PIECES-1];
          logic signed [63:0] sum;
          logic signed [FIELD-1:0] field;
          for (k = 0; k < PIECES; k = k + 1) pieces[k] = 64'(padded[k*PIECE+:PIECE]);
          from = 32'(at) * ENTRIES;
          for (g = 0; g < GROUPS; g = g + 1) begin
            sum = '0;
            for (k = 0; k < SIMD; k = k + 1) sum = sum + $signed(pieces[k] * factors[from+g*SIMD+k]);
            for (l = 0; l < GROUP; l = l + 1)
              if (g * GROUP + l < PE) begin
                field = FIELD'(sum);
                sum = (sum - 64'(field)) >>> FIELD;
                total[g*GROUP+l] <= (first ? ACC_BITS'(START) : total[g*GROUP+l])
                                  + ACC_BITS'(32'(field) + base[32'(at)*PE+g*GROUP+l]);
              end
          end
        end
    end
  endgenerate

  genvar n;
  generate
    for (n = 0; n < PE; n = n + 1) begin : gen_lane
      assign totals[n*ACC_BITS+:ACC_BITS] = total[n];
    end
  endgenerate
endmodule
