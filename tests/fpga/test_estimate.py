# SPDX-License-Identifier: Apache-2.0
"""Formulas of cost beside netlists of Yosys: the points they were read off, and new ones synthesised here."""

import json
from pathlib import Path
from typing import Any

import pytest

from bitlens.fpga.cost import Cost
from netlists import close, estimated, synthesised, unit, window

NETLISTS = json.loads(
    (Path(__file__).parent / "netlists.json").read_text()
)  # Yosys 0.70, synth_xilinx or synth_ecp5, without content; steps with words by chance


@pytest.mark.parametrize("row", NETLISTS, ids=lambda row: f"{row.get('family', 'xc7')}-{row['module']}")
def test_points_of_calibration(row: dict[str, Any]) -> None:
    said = estimated((row["module"], row["parameters"], row["modes"]), row.get("family", "xc7"))
    bram = said.bram if row["bram"] is None else row["bram"]  # a shallow ROM: columns that are constant by chance
    few = 20 if row["module"] in ("fifo", "rescale", "steps", "upsample") else 15
    assert abs(said.lut - row["lut"]) <= max(0.1 * row["lut"], few)
    assert abs(said.ff - row["ff"]) <= max(0.25 * row["ff"], 15)
    assert said.bram == bram
    if row["module"] != "window":  # of some, Yosys puts a product of addresses into a multiplier
        assert said.dsp == row["dsp"]


def test_new_points() -> None:
    points = [
        window((20, 28), 2, 24, 3, 1, 1, 0),
        window((20, 24), 1, 20, 3, 1, 1, 1),
        unit(12, 4, 12, 2, (2, 2), 11),
        ("fifo", {"WIDTH": 20, "DEPTH": 40}, {}),
        ("narrow", {"WIDTH": 9, "FACTOR": 5}, {}),
    ]
    found = synthesised(points)
    assert [close(cells, estimated(point)) for point, cells in zip(points, found, strict=True)] == [True] * len(
        points
    ), found


@pytest.mark.parametrize("family", ["gowin", "ice40"])
def test_block_rams_of_families_whose_tables_are_not_calibrated(family: str) -> None:
    points = [
        unit(48, 8, 8, 4, (2, 2), 12, "generic"),  # 384 words of 64 bits
        unit(36, 64, 4, 1, (2, 1), 12, "generic"),  # 2,304 words of 4 bits
        ("fifo", {"WIDTH": 20, "DEPTH": 1000}, {}),
    ]
    found = synthesised(points, family)
    assert [cells.bram for cells in found] == [estimated(point, family).bram for point in points]
    assert all(cells.bram for cells in found)


def test_cells_are_added() -> None:
    assert Cost(3, 4, 0.5, 1) + Cost(1, 1, 0.5, 0) - Cost(1, 0, 0, 0) == Cost(3, 5, 1, 1)
    assert Cost(3, 4, 0.5, 1).fits(Cost(3, 4, 1, 1))
    assert not Cost(3, 4, 0.5, 1).fits(Cost(3, 4, 1, 0))
