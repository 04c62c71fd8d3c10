// SPDX-License-Identifier: Apache-2.0
// From a stream of this library to AXI4-Stream: LANES integers a beat, each in a container of whole bytes.
//
//   container i = lane i, extended by its sign where SIGNED, else by zeros;   m_tlast at the last of BEATS beats
//
// Latency 0, throughput 1 beat a cycle, nothing is kept of the data. Reset: the next beat is the first of an image.
module axis_out #(
    parameter LANES = 1,
    parameter BITS = 8,
    parameter SIGNED = 0,
    parameter CONTAINER = 8,  // bits, a multiple of 8
    parameter BEATS = 1  // of an image
) (
    input  logic                       clk,
    input  logic                       rst,       // synchronous, active high
    input  logic [     LANES*BITS-1:0] in_data,
    input  logic                       in_valid,
    output logic                       in_ready,
    output logic [LANES*CONTAINER-1:0] m_tdata,
    output logic                       m_tvalid,
    input  logic                       m_tready,
    output logic                       m_tlast,
    output logic                       given      // a whole image went out
);
  localparam COUNT = $clog2(BEATS) > 0 ? $clog2(BEATS) : 1;
  logic [COUNT-1:0] beat;
  wire step = m_tvalid && m_tready;

  assign in_ready = m_tready;
  assign m_tvalid = in_valid;
  assign m_tlast  = beat == COUNT'(BEATS - 1);
  assign given = step && m_tlast;

  always_ff @(posedge clk) begin
    if (rst) beat <= '0;
    else if (step) beat <= m_tlast ? '0 : beat + 1'b1;
  end

  genvar lane;
  generate
    for (lane = 0; lane < LANES; lane = lane + 1) begin : gen_lane
      wire top = (SIGNED != 0) && in_data[lane*BITS+BITS-1];
      if (CONTAINER > BITS) begin : gen_extend
        assign m_tdata[lane*CONTAINER+:CONTAINER] = {{(CONTAINER - BITS) {top}}, in_data[lane*BITS+:BITS]};
      end else begin : gen_same
        wire unused = &{1'b0, top};
        assign m_tdata[lane*CONTAINER+:CONTAINER] = in_data[lane*BITS+:BITS];
      end
    end
  endgenerate
endmodule
