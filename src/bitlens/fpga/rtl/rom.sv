// SPDX-License-Identifier: Apache-2.0
// A memory that is only read.
//
//   word = contents[address], READ cycles later
//
// READ = 2: in block RAM, the second cycle in its output register, which cuts the long way out of the memory. READ = 1: in LUTs.
// Throughput 1 word a cycle; no reset.
module rom #(
    parameter WIDTH = 8,  // bits of a word
    parameter DEPTH = 16,  // words
    parameter READ = 2,
    parameter CONTENTS = "contents.hex",
    localparam ADDRESS = $clog2(DEPTH) > 0 ? $clog2(DEPTH) : 1
) (
    input  logic               clk,
    input  logic [ADDRESS-1:0] address,
    output logic [  WIDTH-1:0] word
);
  generate
    if (READ == 2) begin : gen_block
      (* rom_style = "block", ram_style = "block", syn_romstyle = "EBR" *)
      logic [WIDTH-1:0] words[0:DEPTH-1];
      initial $readmemh(CONTENTS, words);
      logic [WIDTH-1:0] read;
      always_ff @(posedge clk) begin
        read <= words[address];
        word <= read;
      end
    end else begin : gen_luts
      (* rom_style = "distributed", ram_style = "distributed", syn_romstyle = "logic" *)
      logic [WIDTH-1:0] words[0:DEPTH-1];
      initial $readmemh(CONTENTS, words);
      always_ff @(posedge clk) word <= words[address];
    end
  endgenerate
endmodule
