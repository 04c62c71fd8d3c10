# SPDX-License-Identifier: Apache-2.0
"""The status registers, driven as an AXI4-Lite master drives them."""

import subprocess
from importlib import resources
from pathlib import Path


def test_registers_tell_what_the_accelerator_does(tmp_path: Path) -> None:
    rtl = str(resources.files("bitlens.fpga") / "rtl" / "status.sv")
    bench, program = str(Path(__file__).with_name("status_bench.sv")), str(tmp_path / "bench.vvp")
    subprocess.run(["iverilog", "-g2012", "-s", "status_bench", "-o", program, rtl, bench], check=True)
    done = subprocess.run(["vvp", "-n", program], capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout.splitlines()[0] == "21 registers read"
