# SPDX-License-Identifier: Apache-2.0
"""Which block RAMs of an ECP5 take the register of rom.sv: those of a shallow ROM, not those that a multiplexer stands behind."""

import subprocess
from importlib import resources
from pathlib import Path

import pytest

from bitlens.fpga.project import RTL
from bitlens.fpga.synthesis import SCRIPTS, find_yosys
from bitlens.fpga.tool_scripts import _EBR_REGISTERS

TOP = """module top (input clk, input [12:0] address, output [31:0] word);
  rom #(.WIDTH(32), .DEPTH(DEPTH), .TARGET("ecp5"), .CONTENTS("words.hex")) u_rom (.clk(clk), .address(BITS), .word(word));
endmodule
"""


@pytest.mark.parametrize(
    ("depth", "registers_inside", "registers_outside"), [(512, 1, 0), (1024, 2, 0), (7840, 0, 32 + 2)]
)  # a multiplexer chooses by two registers of the address
def test_only_a_word_that_is_not_chosen_is_registered_in_its_block_ram(
    depth: int, registers_inside: int, registers_outside: int, tmp_path: Path
) -> None:
    (tmp_path / "words.hex").write_text("".join(f"{word * 2654435761 % (1 << 32):x}\n" for word in range(depth)))
    bits = f"address[{(depth - 1).bit_length() - 1}:0]"
    (tmp_path / "top.sv").write_text(TOP.replace("(DEPTH)", f"({depth})").replace("BITS", bits))
    register = resources.files("bitlens.fpga") / "synth" / "ebr_output_register.v"
    for source in (RTL / "rom.sv", register):
        (tmp_path / source.name).write_text(source.read_text())
    script = (
        f"read_verilog -defer -sv rom.sv top.sv ebr_output_register.v\n{SCRIPTS['ecp5']} -top top\n{_EBR_REGISTERS}"
    )
    script += f"select -assert-count {registers_inside} */r:REGMODE_A=OUTREG\n"
    script += f"select -assert-count {registers_outside} */t:TRELLIS_FF\n"
    (tmp_path / "script.ys").write_text(script)
    subprocess.run([find_yosys(), "-q", "-s", "script.ys"], cwd=tmp_path, check=True, capture_output=True)
