// SPDX-License-Identifier: Apache-2.0
// From AXI4-Stream to a stream of this library: LANES integers a beat, each in a container of whole bytes.
//
//   out lane i = the BITS low bits of container i
//
// Latency 0, throughput 1 beat a cycle, nothing is kept of the data. Reset: the next beat is the first of an image.
// `fault` pulses where s_tlast does not stand at the last of BEATS beats and nowhere else; data pass all the same.
module axis_in #(
    parameter LANES = 1,
    parameter BITS = 8,
    parameter CONTAINER = 8,  // bits, a multiple of 8
    parameter BEATS = 1  // of an image
) (
    input  logic                       clk,
    input  logic                       rst,        // synchronous, active high
    input  logic [LANES*CONTAINER-1:0] s_tdata,
    input  logic                       s_tvalid,
    output logic                       s_tready,
    input  logic                       s_tlast,
    output logic [     LANES*BITS-1:0] out_data,
    output logic                       out_valid,
    input  logic                       out_ready,
    output logic                       arriving,   // a beat came in
    output logic                       taken,      // a whole image came in
    output logic                       fault
);
  localparam COUNT = $clog2(BEATS) > 0 ? $clog2(BEATS) : 1;
  logic [COUNT-1:0] beat;
  wire last = beat == COUNT'(BEATS - 1);
  wire step = s_tvalid && s_tready;

  assign s_tready  = out_ready;
  assign out_valid = s_tvalid;
  assign arriving = step;
  assign taken = step && last;
  assign fault = step && last != s_tlast;

  always_ff @(posedge clk) begin
    if (rst) beat <= '0;
    else if (step) beat <= last ? '0 : beat + 1'b1;
  end

  genvar lane;
  generate
    for (lane = 0; lane < LANES; lane = lane + 1) begin : gen_lane
      assign out_data[lane*BITS+:BITS] = s_tdata[lane*CONTAINER+:BITS];
      if (CONTAINER > BITS) begin : gen_rest
        wire unused = &{1'b0, s_tdata[lane*CONTAINER+BITS+:CONTAINER-BITS]};
      end
    end
  endgenerate
endmodule
