// SPDX-License-Identifier: Apache-2.0
// What a unit asks its memory for, layer by layer: descriptor, weights, table; then rows as the layer wants them, and one burst
// for its result.
//
//   IDLE -> FETCH -> LOAD -> SEARCH -> RUN -> FETCH of the next descriptor, or IDLE behind the last layer
//
// The lowest fields of a descriptor are taken here, the others are the layer's (unit_layer.sv):
//   last                 the program ends here
//   weights, table       where they lie, and how many words
//   result               where it goes, and how many words
//
// Descriptors of a program lie one behind the other. Latency: a burst is asked for in the cycle after the last word of the one
// before, a layer starts 1 cycle after the last word of its table; throughput 1 word in and 1 word out a cycle. Reset ends the
// program.
module unit_sequence #(
    parameter WORD = 32,
    parameter FIELDS = 582  // bits of a descriptor that the layer takes
) (
    input  logic              clk,
    input  logic              rst,
    input  logic              go,
    input  logic [      31:0] program_address,
    output logic              done,
    output logic              layer_done,       // pulses where the last word of a layer's result is taken
    output logic [FIELDS-1:0] fields,           // stand still from the first word of weights to the layer's end
    output logic              start,            // of the layer; pulses
    output logic              weights_come,     // words that come in now are weights
    output logic              table_comes,
    output logic              running,          // words that come in now are rows
    input  logic              rows_ask,
    input  logic [      31:0] rows_address,
    input  logic [      31:0] rows_words,
    output logic              rows_granted,
    output logic [      31:0] read_address,     // the memory port (unit.sv)
    output logic [      31:0] read_words,
    output logic              read_valid,
    input  logic              read_ready,
    input  logic [  WORD-1:0] read_data,
    input  logic              read_data_valid,
    output logic [      31:0] write_address,
    output logic [      31:0] write_words,
    output logic              write_valid,
    input  logic              write_ready,
    output logic              writing,          // the burst of the result is granted
    input  logic              written           // a word of it is taken
);
  localparam OWN = 193;  // bits of the fields below
  localparam DESCRIPTOR_WORDS = (FIELDS + OWN + WORD - 1) / WORD;
  logic [DESCRIPTOR_WORDS*WORD-1:0] descriptor;
  wire last;
  wire [31:0] weights, weight_words, table_address, table_words, result, result_words;
  assign {last, weights, weight_words, table_address, table_words, result, result_words} = descriptor[OWN-1:0];
  assign fields = descriptor[OWN+:FIELDS];

  localparam [2:0] IDLE = 3'd0, FETCH = 3'd1, LOAD = 3'd2, SEARCH = 3'd3, RUN = 3'd4;
  logic [2:0] state;
  logic asked;  // the burst of this state is granted
  logic [31:0] next, left, count;  // address of the next descriptor; words of the burst, of the result
  wire burst_end = read_data_valid && !running && left == 32'd1;
  wire write_end = written && count + 32'd1 == result_words;
  assign running = state == RUN;
  assign weights_come = state == LOAD;
  assign table_comes = state == SEARCH;
  assign rows_granted = read_ready && running;
  assign read_valid = running ? rows_ask : state != IDLE && !asked;
  assign read_address = state == FETCH ? next : state == LOAD ? weights : state == SEARCH ? table_address : rows_address;
  assign read_words = state == FETCH ? 32'(DESCRIPTOR_WORDS) : state == LOAD ? weight_words
                    : state == SEARCH ? table_words : rows_words;
  assign done = state == IDLE;
  assign layer_done = running && write_end;
  assign write_valid = running && !writing;
  assign write_address = result;
  assign write_words = result_words;

  always_ff @(posedge clk) begin
    // words go in from above, the first one lowest in the end
    if (read_data_valid && state == FETCH) descriptor <= (DESCRIPTOR_WORDS * WORD)'({read_data, descriptor} >> WORD);
    if (rst) begin
      state <= IDLE;
      asked <= 1'b0;
      start <= 1'b0;
      writing <= 1'b0;
      next <= '0;
      left <= '0;
      count <= '0;
    end else begin
      start <= 1'b0;
      if (read_valid && read_ready && !running) begin
        asked <= 1'b1;
        left  <= read_words;
      end
      if (read_data_valid && !running) left <= left - 32'd1;
      case (state)
        IDLE:
        if (go) begin
          state <= FETCH;
          next  <= program_address;
        end
        FETCH:
        if (burst_end) begin
          state <= LOAD;
          asked <= 1'b0;
          next  <= next + 32'(DESCRIPTOR_WORDS);
        end
        LOAD:
        if (burst_end) begin
          state <= SEARCH;
          asked <= 1'b0;
        end
        SEARCH:
        if (burst_end) begin
          state <= RUN;
          asked <= 1'b0;
          start <= 1'b1;
          count <= '0;
          writing <= 1'b0;
        end
        default: begin
          if (write_valid && write_ready) writing <= 1'b1;
          if (written) count <= count + 32'd1;
          if (write_end) state <= last ? IDLE : FETCH;
        end
      endcase
    end
  end
endmodule
