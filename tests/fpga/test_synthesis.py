# SPDX-License-Identifier: Apache-2.0
"""Yosys called and its cells counted."""

from importlib import resources
from pathlib import Path

import pytest

from bitlens.fpga.cost import Cost
from bitlens.fpga.network import FpgaError
from bitlens.fpga.synthesis import _read_report, count_cells, synthesise

RTL = Path(str(resources.files("bitlens.fpga") / "rtl"))


def test_a_module_is_synthesised() -> None:
    found = synthesise([RTL / "narrow.sv"], "narrow", "xc7", parameters={"WIDTH": 8, "FACTOR": 4})
    assert found.cost == Cost(31, 35, 0, 0)
    assert found.version.startswith("Yosys 0.70")


def test_what_yosys_refuses_is_said(tmp_path: Path) -> None:
    (tmp_path / "broken.sv").write_text("module broken; wire a endmodule")
    with pytest.raises(FpgaError, match=r"^yosys: circuit must be synthesised, not refused: .*ERROR"):
        synthesise([tmp_path / "broken.sv"], "broken", "xc7")


def test_cells_are_counted() -> None:
    cells = {"LUT6": 3, "LUT6_2": 2, "RAM32M": 1, "FDRE": 5, "RAMB18E1": 1, "RAMB36E1": 2, "DSP48E1": 1, "CARRY4": 9}
    assert count_cells(cells) == Cost(9, 5, 2.5, 1)


def test_reports_of_old_versions_are_read() -> None:
    totals = '"design": {"num_cells": 8, "num_cells_by_type": {"LUT6": 3, "$scopeinfo": 5}}'
    for between in ("", "\n   $paramod$68d3\\leaf   36\n     leaf  1\n"):  # 0.23 puts a tree of modules there
        text = f'{{\n "creator": "Yosys 0.23 (git)",\n "modules": {{}},{between}{totals}\n}}\n'
        assert _read_report(text) == ("Yosys 0.23 (git)", {"LUT6": 3})
