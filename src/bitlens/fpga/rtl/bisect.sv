// SPDX-License-Identifier: Apache-2.0
// Step tables of many breakpoints: searched by halves, one bit of the answer a stage.
//
//   out[l] = value[l][ #{ j : in[l] >= breakpoint[l][j] } ],  j < 2^STAGES - 1, breakpoints ascending
//
// A stage compares with the breakpoint in the middle of those that are left. So stage s needs 2^s breakpoints of a channel and has
// a memory of its own for them, and there is one comparator a stage where thresholds.sv has one a breakpoint. The key of a number is
// its row and then the bits found so far, which is the address in the stage's memory. With COUNTS the values are FIRST, FIRST + 1,
// ...; else they lie in a last memory.
//
// FOLDS beats make a pixel. Latency 2*STAGES + 2 cycles, throughput 1 beat a cycle. Reset forgets what is on the way.
module bisect #(
    parameter LANES = 1,
    parameter FOLDS = 1,
    parameter ROWS = 1,  // of the tables: FOLDS, or 1 for all channels alike
    parameter IN_BITS = 8,  // two's complement
    parameter STAGES = 2,
    parameter OUT_BITS = 2,
    parameter COUNTS = 1,
    parameter FIRST = 0,
    parameter TABLE = ""  // of lane l and stage s: TABLE.ll.ss.hex, a word of (row, bits found); stage STAGES: values
) (
    input  logic                      clk,
    input  logic                      rst,       // synchronous, active high
    input  logic [ LANES*IN_BITS-1:0] in_data,
    input  logic                      in_valid,
    output logic                      in_ready,
    output logic [LANES*OUT_BITS-1:0] out_data,
    output logic                      out_valid,
    input  logic                      out_ready
);
  localparam FOLD = $clog2(FOLDS) > 0 ? $clog2(FOLDS) : 1;
  localparam ROW = $clog2(ROWS);
  localparam KEY = ROW + STAGES;
  localparam CYCLES = 2 * STAGES + 1;  // from a number to its value

  logic [FOLD-1:0] fold;
  wire take = in_valid && in_ready;
  logic [CYCLES-1:0] valid;  // the newest at the bottom
  always_ff @(posedge clk) begin
    valid <= rst ? '0 : CYCLES'({valid, take});
    if (rst) fold <= '0;
    else if (take) fold <= fold == FOLD'(FOLDS - 1) ? '0 : fold + 1'b1;
  end

  logic [LANES*OUT_BITS-1:0] codes;
  genvar lane, stage;
  generate
    for (lane = 0; lane < LANES; lane = lane + 1) begin : gen_lane
      localparam [31:0] OF_LANE = {".", 8'(48 + lane / 10), 8'(48 + lane % 10), "."};
      for (stage = 0; stage <= STAGES; stage = stage + 1) begin : gen_stage
        localparam [47:0] OF_STAGE = {8'(48 + stage / 10), 8'(48 + stage % 10), ".hex"};
        localparam ADDRESS = ROW + stage > 0 ? ROW + stage : 1;
        wire [KEY-1:0] key;
        wire signed [IN_BITS-1:0] number;
        if (stage == 0) begin : gen_first
          assign key = ROWS == 1 ? '0 : KEY'(fold);
          assign number = in_data[lane*IN_BITS+:IN_BITS];
        end else begin : gen_next
          assign key = gen_stage[stage-1].gen_compare.next_key;
          assign number = gen_stage[stage-1].gen_compare.next_number;
        end
        if (stage < STAGES) begin : gen_compare
          logic [IN_BITS-1:0] breakpoints[0:(ROWS<<stage)-1];
          if (TABLE != "") begin : gen_contents
            initial $readmemh({TABLE, OF_LANE, OF_STAGE}, breakpoints);
          end
          logic [KEY-1:0] held_key, next_key;
          logic signed [IN_BITS-1:0] breakpoint, held_number, next_number;
          always_ff @(posedge clk) begin
            breakpoint <= breakpoints[key[ADDRESS-1:0]];
            held_key <= key;
            held_number <= number;
            next_key <= KEY'({held_key, held_number >= breakpoint});
            next_number <= held_number;
          end
        end else begin : gen_value
          logic [OUT_BITS-1:0] value;
          wire unused = &{1'b0, key, number};
          if (COUNTS != 0) begin : gen_count
            always_ff @(posedge clk) value <= OUT_BITS'(key[STAGES-1:0]) + OUT_BITS'(FIRST);
          end else begin : gen_memory
            logic [OUT_BITS-1:0] values[0:(ROWS<<STAGES)-1];
            if (TABLE != "") begin : gen_contents
              initial $readmemh({TABLE, OF_LANE, OF_STAGE}, values);
            end
            always_ff @(posedge clk) value <= values[key];
          end
          assign codes[lane*OUT_BITS+:OUT_BITS] = value;
        end
      end
    end
  endgenerate

  credit_queue #(
      .WIDTH(LANES * OUT_BITS),
      .DEPTH(CYCLES + 3)
  ) u_queue (
      .clk(clk),
      .rst(rst),
      .may_start(in_ready),
      .start(take),
      .result(codes),
      .result_valid(valid[CYCLES-1]),
      .out_data(out_data),
      .out_valid(out_valid),
      .out_ready(out_ready)
  );
endmodule
