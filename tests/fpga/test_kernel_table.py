# SPDX-License-Identifier: Apache-2.0
"""docs/fpga.md says of kernels what `docs/results/fpga_kernels.json` holds."""

import json
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]
BENCHMARK = runpy.run_path(str(ROOT / "benchmarks" / "fpga_kernels.py"))
ROWS = json.loads((ROOT / "docs" / "results" / "fpga_kernels.json").read_text())["rows"]


def test_the_page_shows_the_rows() -> None:
    _, rest = (ROOT / "docs" / "fpga.md").read_text().split(BENCHMARK["BEGIN"])
    told = "figures have changed: python benchmarks/fpga_kernels.py --write"
    assert rest.split(BENCHMARK["END"])[0].strip() == BENCHMARK["table"](ROWS), told


def test_rows_are_known_and_agree_with_their_cells() -> None:
    assert {*ROWS} <= {*BENCHMARK["ROWS"]}
    assert {*BENCHMARK["GOALS"]} <= {*BENCHMARK["ROWS"]}
    for name, row in ROWS.items():
        luts = sum(number for cell, number in row["cells"].items() if cell.startswith("LUT"))
        assert row["luts_per_mac"] == round(row["luts"] / row["macs_per_cycle"], 2), name
        assert luts <= row["luts"], name
