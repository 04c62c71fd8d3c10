// SPDX-License-Identifier: Apache-2.0
// Drives status.sv as a processor and an accelerator of two outputs do; prints what differs, then how much was compared.
`timescale 1ns / 1ps
module status_bench;
  logic clk = 1'b0, rst = 1'b1;
  always #1 clk = !clk;
  logic arriving = 1'b0, taken = 1'b0, fault = 1'b0;
  logic [1:0] given = 2'b00;
  logic [4:0] awaddr = '0, araddr = '0;
  logic awvalid = 1'b0, wvalid = 1'b0, bready = 1'b0, arvalid = 1'b0, rready = 1'b0;
  logic [31:0] wdata = '0;
  logic [3:0] wstrb = '0;
  wire awready, wready, bvalid, arready, rvalid;
  wire [1:0] bresp, rresp;
  wire [31:0] rdata;
  integer compared = 0, pause;

  status #(.OUTPUTS(2)) u_status (
      .clk(clk), .rst(rst), .arriving(arriving), .taken(taken), .given(given), .fault(fault),
      .s_axil_awaddr(awaddr), .s_axil_awvalid(awvalid), .s_axil_awready(awready),
      .s_axil_wdata(wdata), .s_axil_wstrb(wstrb), .s_axil_wvalid(wvalid), .s_axil_wready(wready),
      .s_axil_bresp(bresp), .s_axil_bvalid(bvalid), .s_axil_bready(bready),
      .s_axil_araddr(araddr), .s_axil_arvalid(arvalid), .s_axil_arready(arready),
      .s_axil_rdata(rdata), .s_axil_rresp(rresp), .s_axil_rvalid(rvalid), .s_axil_rready(rready)
  );

  task step; begin @(posedge clk); #0.1; end endtask

  task expect_register(input [4:0] address, input [31:0] wanted);
    logic [31:0] kept;
    begin
      pause = $urandom % 4;
      repeat (2 + pause) step;  // an image counts a cycle after it is out
      araddr = address;
      arvalid = 1'b1;
      while (!arready) step;
      step;
      arvalid = 1'b0;
      while (!rvalid) step;
      kept = rdata;
      pause = $urandom % 4;
      repeat (pause) step;  // data must stand until they are taken
      if (!rvalid || rdata !== kept || rresp !== 2'b00) $display("read of %h: data do not stand", address);
      rready = 1'b1;
      step;
      rready = 1'b0;
      if (rvalid) $display("read of %h: data stand after they are taken", address);
      if (kept !== wanted) $display("register %h: must be %h, not %h", address, wanted, kept);
      compared = compared + 1;
    end
  endtask

  task write_register(input [4:0] address, input [31:0] value, input [3:0] strobes, input address_first);
    begin
      awaddr = address;
      wdata = value;
      wstrb = strobes;
      awvalid = address_first;
      wvalid = !address_first;
      step;
      if (awready || wready) $display("write: half of it is taken");
      awvalid = 1'b1;
      wvalid = 1'b1;
      #0.1;
      while (!(awready && wready)) step;
      step;
      awvalid = 1'b0;
      wvalid = 1'b0;
      repeat (3) step;
      if (!bvalid || bresp !== 2'b00) $display("write: response does not stand");
      bready = 1'b1;
      step;
      bready = 1'b0;
      if (bvalid) $display("write: response stands after it is taken");
    end
  endtask

  task beat(input last, input early);  // of an image; early: s_tlast at a wrong beat
    begin
      arriving = 1'b1;
      taken = last;
      fault = early;
      step;
      arriving = 1'b0;
      taken = 1'b0;
      fault = 1'b0;
    end
  endtask

  task give(input [1:0] outputs);
    begin
      given = outputs;
      step;
      given = 2'b00;
    end
  endtask

  initial begin
    repeat (4) step;
    rst = 1'b0;
    expect_register(5'h00, 32'h4c544942);
    expect_register(5'h04, 32'd1);
    expect_register(5'h08, 32'd0);
    expect_register(5'h0c, 32'd0);
    expect_register(5'h1c, 32'd0);
    beat(1'b0, 1'b0);
    expect_register(5'h08, 32'd1);  // partly inside
    beat(1'b1, 1'b0);
    expect_register(5'h10, 32'd1);
    give(2'b01);
    expect_register(5'h14, 32'd0);  // the other output has not given it
    expect_register(5'h08, 32'd1);
    give(2'b10);
    expect_register(5'h14, 32'd1);
    expect_register(5'h08, 32'd0);
    // an image of exactly 10 cycles: beats in cycles 1 and 2, out in cycle 10
    beat(1'b0, 1'b0);
    beat(1'b1, 1'b0);
    repeat (7) step;
    give(2'b11);
    expect_register(5'h18, 32'd10);
    // two behind each other: the second counts from the first's end
    beat(1'b1, 1'b0);
    beat(1'b1, 1'b1);
    give(2'b11);
    repeat (5) step;
    give(2'b01);
    give(2'b10);
    expect_register(5'h18, 32'd7);
    expect_register(5'h10, 32'd4);
    expect_register(5'h14, 32'd4);
    expect_register(5'h08, 32'd2);  // the fault
    write_register(5'h08, 32'd1, 4'hf, 1'b1);  // another bit
    write_register(5'h08, 32'd2, 4'he, 1'b0);  // another byte
    write_register(5'h14, 32'd2, 4'hf, 1'b1);  // another register
    expect_register(5'h08, 32'd2);
    write_register(5'h08, 32'd2, 4'h1, 1'b0);
    expect_register(5'h08, 32'd0);
    expect_register(5'h14, 32'd4);
    rst = 1'b1;
    step;
    rst = 1'b0;
    expect_register(5'h14, 32'd0);
    expect_register(5'h18, 32'd0);
    $display("%0d registers read", compared);
    $finish;
  end
endmodule
