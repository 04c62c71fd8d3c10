# SPDX-License-Identifier: Apache-2.0
"""Plans: folds that fill a device or meet a goal."""

import re
from pathlib import Path

import numpy as np
import pytest

from bitlens.core.grid import Grid
from bitlens.fpga.devices import load_device
from bitlens.fpga.network import FpgaError
from bitlens.fpga.plan import plan
from bitlens.fpga.project import write_project
from bitlens.fpga.report import plan_report, render
from bitlens.fpga.simulate import Simulator
from bitlens.graph.file import Program
from programs import Builder, random_inputs


def chain() -> Program:
    rng = np.random.default_rng(0)
    b = Builder()
    x = b.input((8, 8, 4), Grid.unsigned(2))
    y = b.steps(b.conv(x, rng, 8, Grid.odd(2), (3, 3), pads=(1, 1, 1, 1)), rng, Grid.unsigned(2), kind="rising")
    return b.program(b.conv(y, rng, 6, Grid.odd(2), (3, 3)))


def skip() -> Program:
    """Two convolutions beside a branch that waits for them."""
    rng, b = np.random.default_rng(0), Builder()
    x = b.steps(b.conv(b.input((8, 8, 4), Grid.unsigned(2)), rng, 4, Grid.odd(2)), rng, Grid.signed(4), kind="rising")
    y = b.steps(b.conv(x, rng, 4, Grid.odd(2), (5, 5), pads=(2, 2, 2, 2)), rng, Grid.unsigned(2), kind="rising")
    z = b.steps(b.conv(y, rng, 4, Grid.odd(2), (5, 5), pads=(2, 2, 2, 2)), rng, Grid.signed(4), kind="rising")
    return b.program(b.op("add", x, z))


def test_a_goal_is_met_with_the_least() -> None:
    device = load_device("xc7z020")
    slow = plan(chain(), device, frames_per_second=10_000)
    fast = plan(chain(), device, frames_per_second=200_000)
    assert fast.totals.frames_per_second >= 200_000 > slow.totals.frames_per_second >= 10_000
    assert fast.totals.cost.lut > slow.totals.cost.lut
    assert fast.bottleneck in fast.folding


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(FpgaError, match=r"^ice40up5k: circuit must fit 52 LUT, 5,280 FF, 30 BRAM and 8 DSP, not need "):
        plan(chain(), load_device("ice40up5k"), lut_share=0.01)


@pytest.mark.parametrize(
    ("name", "frames", "share"),
    [("xc7z010", 1e6, 0.05), ("xc7z010", 1e6, 0.01), ("xc7z010", None, 0.02), ("lfe5u-25f", 2e5, 0.03)],
)
def test_what_would_fit_is_said_and_does(name: str, frames: float | None, share: float) -> None:
    device = load_device(name)
    with pytest.raises(FpgaError) as raised:
        plan(chain(), device, frames, share)
    cells = f"{int(share * device.lut):,} LUT, {device.ff:,} FF, {device.bram.count} BRAM and {device.dsp} DSP"
    said = re.fullmatch(
        re.escape(f"{name}: circuit must fit {cells}, not need ")
        + r"([\d,]+) LUT, [\d,]+ FF, [\d.]+ BRAM and \d+ DSP; "
        + r"(?:([\d,]+) frames a second fit, )?--luts (\d+)% holds it(?:, (xc7\w+|lfe5u-\w+) holds it)?",
        str(raised.value),
    )
    assert said, raised.value
    need, fewer, percent, other = said.groups()
    assert int(need.replace(",", "")) <= int(int(percent) / 100 * device.lut)
    assert plan(chain(), device, frames, int(percent) / 100).totals.shares["lut"] <= int(percent) / 100
    if fewer:
        assert plan(chain(), device, int(fewer.replace(",", "")), share).totals.cost.lut <= int(share * device.lut)
    if other:
        assert plan(chain(), load_device(other), frames, share).device.name == other


def test_queues_count_in_what_is_needed() -> None:
    """A skip over a deep layer needs a deep queue; the circuit at its smallest just does not fit."""
    device = load_device("xc7z010")
    need = plan(skip(), device, 1).totals.cost
    share = (need.lut - 0.5) / device.lut
    with pytest.raises(FpgaError) as raised:
        plan(skip(), device, 1, share)
    assert f"must fit {need.lut - 1:,} LUT, " in str(raised.value)
    assert f", not need {need.lut:,} LUT, {need.ff:,} FF, {need.bram:g} BRAM" in str(raised.value)


def test_a_goal_that_no_fold_reaches_is_lowered_to_one_that_fits() -> None:
    device = load_device("xc7z010")
    with pytest.raises(FpgaError) as raised:
        plan(chain(), device, 1e8)
    said = re.fullmatch(r"goal: must be at most ([\d,]+) frames a second at 200 MHz, not 1e\+08", str(raised.value))
    assert said, raised.value
    frames = int(said[1].replace(",", ""))
    assert plan(chain(), device, frames).totals.frames_per_second >= frames


def test_nothing_holds_what_is_too_large() -> None:
    rng, b = np.random.default_rng(0), Builder()
    program = b.program(b.conv(b.input((4, 4, 256), Grid.unsigned(2)), rng, 256, Grid.odd(2), (3, 3)))
    sentence = (
        r"^ice40up5k: circuit must fit .* LUT, 5,280 FF, 30 BRAM and 8 DSP, not need .*; take fewer bits or channels$"
    )
    with pytest.raises(FpgaError, match=sentence):
        plan(program, load_device("ice40up5k"))


@pytest.mark.parametrize(
    ("name", "clocks"), [("xc7z010", [120, 150, 200, 250]), ("ice40up5k", [120]), ("gw2a-18", [120])]
)
def test_clocks_are_assumed_for_xc7_only(name: str, clocks: list[int]) -> None:
    found = plan(chain(), load_device(name), clock_mhz=120)
    report = plan_report(found, chain())
    assert [clock["mhz"] for clock in report["at_clock"]] == clocks
    assert ("not calibrated" in render(report)) == ("place.sh" in render(report)) == (name != "xc7z010")
    assert found.bottleneck


def test_a_layer_without_a_kernel_is_named() -> None:
    rng = np.random.default_rng(0)
    b = Builder()
    program = b.program(b.conv(b.input((4, 4, 64), Grid.unsigned(2)), rng, 512, Grid.odd(2), (3, 3)))
    sentence = r"^conv0: kernels must be able to hold it, not only hard; add fold$"
    with pytest.raises(FpgaError, match=sentence):
        plan(program, load_device("xc7z045"), kernels=("hard",))


@pytest.mark.parametrize("kernel", ["fold", "hard"])
def test_filters_of_groups(kernel: str, tmp_path: Path) -> None:
    rng, b = np.random.default_rng(0), Builder()
    x = b.input((6, 7, 6), Grid.unsigned(2))
    y = b.steps(b.conv(x, rng, 9, Grid.odd(2), (3, 2), groups=3), rng, Grid.unsigned(2), kind="rising")
    program = b.program(b.conv(y, rng, 6, Grid.narrow(2), (1, 1), groups=3))
    found = plan(program, load_device("xc7z020"), kernels=(kernel,))
    assert [row.macs for row in found.rows if row.op == "conv"] == [4 * 6 * 9 * 12, 4 * 6 * 6 * 3]
    assert all(row.efficiency <= 1 / 3 for row in found.rows)
    images = random_inputs(program, 4, 1)["image"]
    simulator = Simulator(found.network, write_project(found.network, tmp_path))
    for pauses in ((0.0, 0.0), (0.5, 0.5)):
        assert np.array_equal(simulator.run(images, pauses=pauses).outputs["conv2"], program.run(images)["conv2"])
