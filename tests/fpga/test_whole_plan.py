# SPDX-License-Identifier: Apache-2.0
"""The estimate of a whole plan beside Yosys and the simulation, for both families whose lookup tables are calibrated."""

from pathlib import Path

import numpy as np
import pytest

from bitlens.core.grid import Grid
from bitlens.fpga.devices import load_device
from bitlens.fpga.plan import plan
from bitlens.fpga.project import write_project
from bitlens.fpga.simulate import Simulator
from bitlens.fpga.synthesis import synthesise
from bitlens.graph.file import Program
from bitlens.graph.ops import window_attrs
from programs import Builder, random_inputs


def program() -> Program:
    """An 8-bit end, 2-bit layers, a skip, a pool."""
    rng, b = np.random.default_rng(0), Builder()
    pad = (1, 1, 1, 1)
    x = b.conv(b.input((12, 12, 3), Grid.unsigned(8)), rng, 8, Grid.narrow(8), (3, 3), pads=pad)
    x = b.steps(x, rng, Grid.unsigned(2), kind="rising")
    y = b.steps(b.conv(x, rng, 8, Grid.odd(2), (3, 3), pads=pad), rng, Grid.signed(4), kind="rising")
    z = b.steps(b.conv(x, rng, 8, Grid.odd(2)), rng, Grid.signed(4), kind="rising")
    s = b.steps(b.op("add", y, z), rng, Grid.unsigned(2), rows=1)
    p = b.op("max_pool", s, **window_attrs((2, 2), stride=(2, 2)))
    w = b.steps(b.conv(p, rng, 32, Grid.odd(2), (3, 3), pads=pad), rng, Grid.unsigned(2), kind="rising")
    return b.program(b.conv(w, rng, 10, Grid.odd(2), (6, 6)))


@pytest.mark.parametrize(("device", "frames"), [("xc7z020", 100_000), ("lfe5u-85f", 50_000)])
def test_a_plan_is_what_it_says(device: str, frames: int, tmp_path: Path) -> None:
    found = plan(program(), load_device(device), frames)
    said = found.totals
    root = write_project(found.network, tmp_path)
    made = synthesise(sorted((root / "rtl").glob("*.sv")), "top", found.device.family, folder=root).cost
    assert abs(said.cost.lut / made.lut - 1) <= 0.1, (said.cost, made)
    assert said.cost.bram == made.bram, (said.cost, made)
    images = random_inputs(program(), 30, 1)["image"]
    run = Simulator(found.network, root).run(images)
    assert np.array_equal(run.outputs["conv11"], program().run(images)["conv11"])
    assert run.interval is not None
    assert abs(said.cycles / run.interval - 1) <= 0.01, (said.cycles, run.interval)
