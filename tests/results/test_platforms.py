# SPDX-License-Identifier: Apache-2.0
"""Models beside platforms: bounds by hand, what is said to be published, assumed and measured."""

from pathlib import Path

import numpy as np
import pytest

from bitlens.core.grid import Grid
from bitlens.graph.graph import GraphError
from bitlens.results.platforms import platform_report, render
from programs import Builder


def saved(path: Path, height: int | None = 8) -> Path:
    """8x8x3 -> 16 channels by 8-bit weights -> 32 by 3-bit weights of 2-bit inputs."""
    rng = np.random.default_rng(0)
    b = Builder()
    y = b.steps(b.conv(b.input((height, 8, 3), Grid.unsigned(8)), rng, 16, Grid.narrow(8)), rng, Grid.unsigned(2))
    b.program(b.conv(y, rng, 32, Grid.odd(3))).save(path)
    return path


def test_bounds(tmp_path: Path) -> None:
    report = platform_report(saved(tmp_path / "m.bitlens"), seconds=0.1)
    products = 64 * 16 * 32 * 2  # 3 bits take two units of 2
    assert (report["macs"], report["products_2w2f"]) == (64 * (3 * 16 + 16 * 32), products)
    rows = {row["platform"]: row for row in report["rows"]}
    assert rows["TX1"]["frames_per_second"] == pytest.approx(1e12 / 2 / report["macs"])
    assert rows["TX1"]["millijoules"] == pytest.approx(15e3 * 2 * report["macs"] / 1e12)
    assert rows["Zynq 7030"]["frames_per_second"] == pytest.approx(0.9e12 / 2 / products)
    assert [row["basis"] for row in report["rows"]] == ["published"] * 3 + ["assumed", "measured"]
    assert [row["watts"] for row in report["rows"]] == [4.5, 15.0, 7.5, None, None]
    assert rows["bitlens on Zynq-7030"]["frames_per_second"] > 0
    assert report["rows"][-1]["frames_per_second"] > 0
    lines = render(report).splitlines()
    assert lines[1].split()[:5] == ["Snapdragon", "835", "<", "0.06", "T"]
    assert "plan at an assumed 200 MHz" in lines[4]


def test_a_program_of_any_size(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.bitlens", None)
    with pytest.raises(GraphError, match=r"m\.bitlens: size must be given for a program of any size; --size HxW$"):
        platform_report(path)
    report = platform_report(path, (8, 8), 0.1)
    assert report["macs"] == 64 * (3 * 16 + 16 * 32)
    assert report["rows"][3]["frames_per_second"] > 0
