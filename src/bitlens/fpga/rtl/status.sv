// SPDX-License-Identifier: Apache-2.0
// What a processor can see of the accelerator: an AXI4-Lite slave of 32-bit registers.
//
//   0x00  identity   ID, read only                0x10  images that came in, modulo 2^32
//   0x04  version    VERSION, read only           0x14  images that went out, modulo 2^32
//   0x08  state      bit 0: images are inside     0x18  cycles of the last image that went out: since its first beat came in
//                    bit 1: a fault has been                or, where others were inside, since the one before it was out
//                    (write 1 to clear it)
//
// Other addresses read 0; writes to all but bit 1 of the state change nothing. Every access answers OKAY. Latency: a read's data
// and a write's response 1 cycle after its address (and data). Throughput: a read and a write every 2 cycles. Reset clears all
// counters and the fault.
module status #(
    parameter [31:0] ID = 32'h4c544942,  // "BITL", the first letter lowest
    parameter [31:0] VERSION = 32'h00000001,
    parameter OUTPUTS = 1
) (
    input  logic        clk,
    input  logic        rst,            // synchronous, active high
    input  logic        arriving,       // a beat of an image comes in
    input  logic        taken,          // a whole image came in
    input  logic [OUTPUTS-1:0] given,   // a whole image went out of each output
    input  logic        fault,          // an image's end was marked at another beat than its last
    input  logic [ 4:0] s_axil_awaddr,
    input  logic        s_axil_awvalid,
    output logic        s_axil_awready,
    input  logic [31:0] s_axil_wdata,
    input  logic [ 3:0] s_axil_wstrb,
    input  logic        s_axil_wvalid,
    output logic        s_axil_wready,
    output logic [ 1:0] s_axil_bresp,
    output logic        s_axil_bvalid,
    input  logic        s_axil_bready,
    input  logic [ 4:0] s_axil_araddr,
    input  logic        s_axil_arvalid,
    output logic        s_axil_arready,
    output logic [31:0] s_axil_rdata,
    output logic [ 1:0] s_axil_rresp,
    output logic        s_axil_rvalid,
    input  logic        s_axil_rready
);
  logic [31:0] came, went, cycles, last_cycles;
  logic partly, faulty;  // an image is coming in
  wire busy = partly || came != went;

  // an image is out when every output has given it
  logic [OUTPUTS-1:0] ahead;  // outputs that have given more images than went
  wire out = &ahead;
  genvar i;
  generate
    for (i = 0; i < OUTPUTS; i = i + 1) begin : gen_output
      logic [7:0] more;
      assign ahead[i] = more != '0;
      always_ff @(posedge clk) begin
        if (rst) more <= '0;
        else more <= more + 8'(given[i]) - 8'(out);
      end
    end
  endgenerate

  // a write needs address and data together
  wire write = s_axil_awvalid && s_axil_wvalid && !s_axil_bvalid;
  wire clear = write && s_axil_awaddr[4:2] == 3'd2 && s_axil_wstrb[0] && s_axil_wdata[1];
  assign s_axil_awready = write;
  assign s_axil_wready  = write;
  assign s_axil_bresp   = 2'b00;
  assign s_axil_rresp   = 2'b00;
  assign s_axil_arready = !s_axil_rvalid;
  wire unused = &{1'b0, s_axil_awaddr[1:0], s_axil_araddr[1:0], s_axil_wdata[31:2], s_axil_wdata[0], s_axil_wstrb[3:1]};

  always_ff @(posedge clk) begin
    if (rst) begin
      came <= '0;
      went <= '0;
      cycles <= '0;
      last_cycles <= '0;
      partly <= 1'b0;
      faulty <= 1'b0;
      s_axil_bvalid <= 1'b0;
      s_axil_rvalid <= 1'b0;
      s_axil_rdata <= '0;
    end else begin
      if (taken) came <= came + 1'b1;
      if (out) went <= went + 1'b1;
      if (arriving) partly <= !taken;
      cycles <= out || (arriving && !busy) ? 32'd1 : cycles + 32'd1;
      if (out) last_cycles <= cycles;
      faulty <= fault || (faulty && !clear);

      if (write) s_axil_bvalid <= 1'b1;
      else if (s_axil_bready) s_axil_bvalid <= 1'b0;

      if (s_axil_arvalid && s_axil_arready) begin
        s_axil_rvalid <= 1'b1;
        case (s_axil_araddr[4:2])
          3'd0: s_axil_rdata <= ID;
          3'd1: s_axil_rdata <= VERSION;
          3'd2: s_axil_rdata <= {30'd0, faulty, busy};
          3'd4: s_axil_rdata <= came;
          3'd5: s_axil_rdata <= went;
          3'd6: s_axil_rdata <= last_cycles;
          default: s_axil_rdata <= '0;
        endcase
      end else if (s_axil_rready) s_axil_rvalid <= 1'b0;
    end
  end
endmodule
