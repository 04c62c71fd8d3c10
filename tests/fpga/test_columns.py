# SPDX-License-Identifier: Apache-2.0
"""Whole columns of taps in one beat: the same integers as tap by tap, in fewer cycles."""

from pathlib import Path

import numpy as np
import pytest

from bitlens.core.grid import Grid
from bitlens.fpga.folding import Fold
from bitlens.fpga.lower import lower_program
from bitlens.fpga.project import write_project
from bitlens.fpga.simulate import Simulator
from bitlens.graph.file import Program
from programs import Builder, random_inputs

COLUMNS = {"conv0": Fold(4, 12), "conv2": Fold(3, 10), "conv4": Fold(2, 9)}


def windows() -> Program:
    """Windows with and without pads, strides, dilation, rows that are never read; kernels that are not square."""
    rng = np.random.default_rng(0)
    b = Builder()
    x = b.input((9, 7, 4), Grid.unsigned(2))
    y = b.steps(b.conv(x, rng, 8, Grid.odd(2), (3, 3), pads=(1, 1, 1, 1)), rng, Grid.unsigned(2), kind="rising")
    z = b.conv(y, rng, 6, Grid.odd(2), (5, 3), stride=(2, 1), dilation=(1, 2), pads=(2, 0, 1, 1))
    z = b.steps(z, rng, Grid.unsigned(2), kind="rising")
    return b.program(b.conv(z, rng, 4, Grid.odd(1), (3, 2)))


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Simulator:
    network = lower_program(windows(), COLUMNS)
    return Simulator(network, write_project(network, Path(tmp_path_factory.mktemp("columns"))))


@pytest.mark.parametrize("pauses", [(0.0, 0.0), (0.4, 0.4), (0.0, 0.9)])
def test_every_integer_is_golden_s(simulator: Simulator, pauses: tuple[float, float]) -> None:
    images = random_inputs(windows(), 7, 1)["image"]
    golden = windows().run(images)
    for name, array in simulator.run(images, pauses=pauses).outputs.items():
        assert np.array_equal(array, golden[name])


def test_a_column_takes_one_beat() -> None:
    tap_by_tap = {"conv0": Fold(4, 4), "conv2": Fold(3, 2), "conv4": Fold(2, 3)}
    cycles = [
        [element.cycles for element in lower_program(windows(), folding).elements if element.module == "mvtu"]
        for folding in (tap_by_tap, COLUMNS)
    ]
    assert cycles[0] == [3 * cycles[1][0], 5 * cycles[1][1], 3 * cycles[1][2]]
