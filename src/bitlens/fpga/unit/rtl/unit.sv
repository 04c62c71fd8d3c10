// SPDX-License-Identifier: Apache-2.0
// Execution unit, memory to memory: runs a program of layers, each of them
//
//   unpool -> concatenate -> convolve -> requantize -> max pool
//
// A layer is one descriptor (unit_sequence.sv and unit_layer.sv say what its fields mean), words of weights and a table.
// A tensor is rows of pixels; a pixel is ceil(channels / SIMD) folds; a fold is a word for each digit from the
// lowest, of SIMD digits of 2 bits.
// The memory port: bursts of whole words, reads and writes apart. `read_*`: a burst is granted where valid and ready meet; then
// its words come, in order, and are taken at once. At most one burst is on the way. `write_*`: one burst a layer, then its
// words with valid and ready. `go` starts the program at `program_address`; `done` is high until the next `go`. Latency and
// throughput: fpga/unit/cycles.py. Reset (synchronous, active high) ends the program; bursts on the way must have ended.
module unit #(
    parameter PE = 16,
    parameter SIMD = 16,   // at least PE; both powers of two
    parameter LANES = 4,   // codes a cycle, divides PE
    parameter ACC_BITS = 24,
    parameter WEIGHTS = 1024,  // words of weights of a layer at most
    parameter RING = 1024,     // words of the ring
    parameter GROUPS = 16,     // LANES channels each, of a layer at most
    parameter QUEUE = 128,     // words that wait to be written; more than are on the way
    parameter [63:0] TARGET = "generic",
    parameter BEHAVIOURAL = 0,
    parameter WORD = 2 * SIMD
) (
    input  logic            clk,
    input  logic            rst,
    input  logic            go,
    input  logic [    31:0] program_address,
    output logic            done,
    output logic            layer_done,     // pulses where the last word of a layer's result is taken
    output logic [    31:0] read_address,   // in words
    output logic [    31:0] read_words,
    output logic            read_valid,
    input  logic            read_ready,
    input  logic [WORD-1:0] read_data,
    input  logic            read_data_valid,
    output logic [    31:0] write_address,
    output logic [    31:0] write_words,
    output logic            write_valid,
    input  logic            write_ready,
    output logic [WORD-1:0] write_data,
    output logic            write_data_valid,
    input  logic            write_data_ready
);
  localparam FIELDS = 582;  // bits of a descriptor that the layer takes

  wire [FIELDS-1:0] fields;
  wire start, weights_come, table_comes, running, writing;
  wire rows_ask, rows_granted, result_valid;
  wire [31:0] rows_address, rows_words;
  unit_sequence #(
      .WORD  (WORD),
      .FIELDS(FIELDS)
  ) u_sequence (
      .clk(clk),
      .rst(rst),
      .go(go),
      .program_address(program_address),
      .done(done),
      .layer_done(layer_done),
      .fields(fields),
      .start(start),
      .weights_come(weights_come),
      .table_comes(table_comes),
      .running(running),
      .rows_ask(rows_ask),
      .rows_address(rows_address),
      .rows_words(rows_words),
      .rows_granted(rows_granted),
      .read_address(read_address),
      .read_words(read_words),
      .read_valid(read_valid),
      .read_ready(read_ready),
      .read_data(read_data),
      .read_data_valid(read_data_valid),
      .write_address(write_address),
      .write_words(write_words),
      .write_valid(write_valid),
      .write_ready(write_ready),
      .writing(writing),
      .written(write_data_valid && write_data_ready)
  );
  assign write_data_valid = result_valid && writing;
  unit_layer #(
      .PE(PE),
      .SIMD(SIMD),
      .LANES(LANES),
      .ACC_BITS(ACC_BITS),
      .WEIGHTS(WEIGHTS),
      .RING(RING),
      .GROUPS(GROUPS),
      .QUEUE(QUEUE),
      .TARGET(TARGET),
      .BEHAVIOURAL(BEHAVIOURAL),
      .FIELDS(FIELDS)
  ) u_layer (
      .clk(clk),
      .rst(rst),
      .fields(fields),
      .start(start),
      .weights_come(weights_come),
      .table_comes(table_comes),
      .running(running),
      .data(read_data),
      .data_valid(read_data_valid),
      .rows_ask(rows_ask),
      .rows_address(rows_address),
      .rows_words(rows_words),
      .rows_granted(rows_granted),
      .result(write_data),
      .result_valid(result_valid),
      .result_ready(write_data_ready && writing)
  );
endmodule
