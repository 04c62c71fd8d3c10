// SPDX-License-Identifier: Apache-2.0
// A memory that is only read.
//
//   word = contents[address], READ cycles later
//
// READ = 2: in block RAM, the second cycle in its output register, which cuts the long way out of the memory. READ = 1: in LUTs.
// Throughput 1 word a cycle; no reset. Vivado moves the second register into the memory by itself. Yosys does not: for ecp5 the
// register is a module of its own, `ebr_output_register`, which stands beside the synthesis script. The script turns the
// memory's own register on and makes that module a wire; a flow that does not know it stops at the missing module. Words that
// may lie in block RAMs behind one another are chosen among before the register, so theirs is not the block RAM's.
module rom #(
    parameter WIDTH = 8,  // bits of a word
    parameter DEPTH = 16,  // words
    parameter READ = 2,
    parameter [63:0] TARGET = "generic",
    parameter CONTENTS = "",
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
      if (CONTENTS != "") begin : gen_contents
        initial $readmemh(CONTENTS, words);
      end
      logic [WIDTH-1:0] read;
      always_ff @(posedge clk) read <= words[address];
      if (TARGET == "ecp5" && DEPTH <= 1024) begin : gen_ecp5
        ebr_output_register #(
            .WIDTH(WIDTH)
        ) u_register (
            .clk(clk),
            .in (read),
            .out(word)
        );
      end else begin : gen_register
        always_ff @(posedge clk) word <= read;
      end
    end else begin : gen_luts
      (* syn_romstyle = "logic" *)  // Yosys refuses rom_style = "distributed", Vivado puts so few words in LUTs by itself
      logic [WIDTH-1:0] words[0:DEPTH-1];
      if (CONTENTS != "") begin : gen_contents
        initial $readmemh(CONTENTS, words);
      end
      always_ff @(posedge clk) word <= words[address];
    end
  endgenerate
endmodule
