# SPDX-License-Identifier: Apache-2.0
"""What a unit takes, beside netlists of Yosys; and units that do not fit."""

import re
from pathlib import Path

import numpy as np
import pytest

from bitlens.core.grid import Grid
from bitlens.fpga.cost import Cost
from bitlens.fpga.devices import load_device
from bitlens.fpga.network import FpgaError
from bitlens.fpga.synthesis import synthesise
from bitlens.fpga.unit.estimate import unit_cost
from bitlens.fpga.unit.export import export_unit
from bitlens.fpga.unit.fit import check_fits
from bitlens.fpga.unit.project import write_unit
from bitlens.fpga.unit.schedule import schedule, smallest_unit
from bitlens.fpga.unit.size import UnitSize
from bitlens.graph.file import Program
from programs import Builder
from unit_programs import small_unit_program

DEVICES = {"xc7": load_device("xc7z020"), "ecp5": load_device("lfe5u-85f")}
NETLISTS = [  # Yosys 0.70, synth_xilinx or synth_ecp5, of the module `accelerator` that write_unit makes
    (UnitSize(4, 8, 2, 24, 1024, 1024, 64, "xc7"), Cost(3314, 3825, 28.5, 8)),
    (UnitSize(8, 16, 2, 20, 256, 512, 16, "xc7"), Cost(4214, 5323, 12, 7)),
    (UnitSize(16, 16, 4, 24, 8192, 2048, 32, "xc7"), Cost(5906, 8684, 158.5, 8)),
    (UnitSize(4, 8, 2, 24, 1024, 1024, 64, "ecp5"), Cost(5481, 4662, 60, 9)),
    (UnitSize(8, 16, 2, 20, 256, 512, 16, "ecp5"), Cost(7269, 6367, 26, 9)),
    (UnitSize(16, 16, 4, 24, 4096, 2048, 32, "ecp5"), Cost(11946, 10343, 189, 9)),
]


def close(said: Cost, found: Cost) -> bool:
    """Lookup tables within 5 % (the goal is 10), registers within 10 %, the others the same."""
    luts, registers = abs(said.lut / found.lut - 1), abs(said.ff / found.ff - 1)
    return luts <= 0.05 and registers <= 0.1 and (said.bram, said.dsp) == (found.bram, found.dsp)


@pytest.mark.parametrize(("size", "found"), NETLISTS)
def test_points_of_calibration(size: UnitSize, found: Cost) -> None:
    assert close(unit_cost(size, DEVICES[size.target]), found)


def test_a_new_point(tmp_path: Path) -> None:
    size = UnitSize(2, 4, 1, 20, 256, 512, 8, "xc7")
    found = schedule(small_unit_program(), size)
    sources = [*(write_unit(found, tmp_path) / "rtl").iterdir()]
    made = synthesise(sources, "accelerator", "xc7")
    assert close(unit_cost(size, DEVICES["xc7"]), made.cost), (unit_cost(size, DEVICES["xc7"]), made.cost)


def wide_program(channels: int) -> Program:
    """Two layers; the weights of the second must lie in a unit at once."""
    rng = np.random.default_rng(0)
    b = Builder()
    x = b.steps(
        b.conv(b.input((8, 8, 64), Grid.unsigned(2)), rng, channels, Grid.odd(2)), rng, Grid.unsigned(2), kind="rising"
    )
    return b.program(b.conv(x, rng, channels, Grid.odd(2), (3, 3)))


def test_a_unit_that_does_not_fit_is_refused_with_what_does(tmp_path: Path) -> None:
    program, device = wide_program(128), load_device("xc7a35t")
    size = smallest_unit(program, 64, 64, "xc7")
    found = schedule(program, size)
    said = (
        rf"^xc7a35t: unit must fit {device.cells}, not need {unit_cost(size, device)}; "
        r"--array (\d+)x(\d+) fits, (xc7\w+) holds it$"
    )
    with pytest.raises(FpgaError, match=said) as raised:
        export_unit(found, program, device, 200, tmp_path / "x")
    assert not (tmp_path / "x").exists()
    pe, simd, other = re.search(said, str(raised.value)).groups()
    smaller = schedule(program, smallest_unit(program, int(pe), int(simd), "xc7"))
    report = export_unit(smaller, program, device, 200, tmp_path / "x")
    assert max(report["totals"]["shares"].values()) <= 1
    assert report["totals"]["lut"] == unit_cost(smaller.size, device).lut
    check_fits(program, size, load_device(other))


def test_nothing_holds_a_unit_that_is_too_large() -> None:
    program, device = wide_program(512), load_device("ice40up5k")
    with pytest.raises(FpgaError, match=r"; take a smaller image or fewer channels$"):
        check_fits(program, smallest_unit(program, 16, 16), device)
