# SPDX-License-Identifier: Apache-2.0
"""Cycles foretold beside cycles simulated."""

from pathlib import Path

import numpy as np
import pytest

from bitlens.core.grid import Grid
from bitlens.fpga.folding import Fold
from bitlens.fpga.lower import lower_program
from bitlens.fpga.network import Network
from bitlens.fpga.pace import Pace, predict_pace
from bitlens.fpga.project import write_project
from bitlens.fpga.simulate import Simulator
from bitlens.graph.file import Program
from bitlens.graph.ops import window_attrs
from programs import Builder, random_inputs


def layers() -> Program:
    """Windows, a pool, a layer that takes the whole image, and one behind it: every kind of waiting but joins."""
    rng = np.random.default_rng(0)
    b = Builder()
    y = b.input((16, 16, 4), Grid.unsigned(2))
    for _ in range(2):
        y = b.conv(y, rng, 8, Grid.odd(1), (3, 3), pads=(1, 1, 1, 1))
        y = b.steps(y, rng, Grid.unsigned(2), kind="rising")
    y = b.op("max_pool", y, **window_attrs((2, 2), stride=(2, 2), pads=(0, 0, 0, 0)))
    y = b.steps(b.conv(y, rng, 16, Grid.odd(1), (8, 8)), rng, Grid.unsigned(2), kind="rising")
    return b.program(b.conv(y, rng, 10, Grid.odd(1), (1, 1)))


def residual() -> Program:
    """A sum of a branch of two convolutions and one of none."""
    rng = np.random.default_rng(0)
    b = Builder()
    x = b.input((12, 12, 4), Grid.unsigned(2))
    y = b.steps(b.conv(x, rng, 4, Grid.odd(1), (3, 3), pads=(1, 1, 1, 1)), rng, Grid.unsigned(2), kind="rising")
    z = y
    for _ in range(2):
        z = b.steps(b.conv(z, rng, 4, Grid.odd(1), (3, 3), pads=(1, 1, 1, 1)), rng, Grid.unsigned(2), kind="rising")
    return b.program(b.op("add", y, z))


def networks() -> list[tuple[Program, Network]]:
    chain = {"conv0": Fold(4, 4), "conv2": Fold(4, 8), "conv5": Fold(2, 8), "conv7": Fold(1, 2)}
    return [
        (layers(), lower_program(layers(), chain)),
        (residual(), lower_program(residual(), {name: Fold(2, 4) for name in ("conv0", "conv2", "conv4")})),
    ]


@pytest.mark.parametrize("place", [0, 1])
def test_cycles_are_foretold(tmp_path: Path, place: int) -> None:
    program, network = networks()[place]
    said = predict_pace(network)
    found = Simulator(network, write_project(network, tmp_path)).run(random_inputs(program, 12, 1)["image"])
    assert abs(said.latency - found.ends[0]) <= 0.02 * found.ends[0]
    assert abs(said.cycles(12) - found.cycles) <= 0.01 * found.cycles
    assert said.interval >= network.bottleneck.cycles


def test_images_follow_one_another() -> None:
    assert Pace(latency=100, interval=40).cycles(3) == 180
