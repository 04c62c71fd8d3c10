# SPDX-License-Identifier: Apache-2.0
"""The form of a matrix unit that simulates fast, beside the golden interpreter and the form that is built."""

from pathlib import Path

import numpy as np

from bitlens.core.grid import Grid
from bitlens.fpga.folding import Fold, default_folding
from bitlens.fpga.lower import lower_program
from bitlens.fpga.project import write_project
from bitlens.fpga.simulate import Simulator
from bitlens.graph.file import Program
from programs import Builder, random_inputs

# few bits go digit by digit (lanes.sv), more by multiplication; odd grids have a form of their own
_PAIRS = [
    (Grid.unsigned(1), Grid.odd(1)),
    (Grid.unsigned(2), Grid.odd(3)),
    (Grid.unsigned(3), Grid.narrow(3)),
    (Grid.unsigned(4), Grid.ternary()),
    (Grid.signed(4), Grid.odd(4)),
    (Grid.unsigned(4), Grid.odd(5)),
    (Grid.signed(5), Grid.narrow(8)),
]


def every_pair() -> Program:
    """A convolution of 15 inputs for each pair of grids, extremes among the weights."""
    rng = np.random.default_rng(0)
    b = Builder()
    x = b.input((3, 3, 15), Grid.unsigned(8))
    outputs = []
    for operand, grid in _PAIRS:
        y = b.steps(x, rng, operand, kind="rising")
        outputs.append(b.conv(y, rng, 10, grid, (2, 2)))
        weights = b.graph.nodes[-1].attrs["weights"]
        weights[0], weights[1] = grid.lo, grid.hi
        reach = 4 * 15 * max(-grid.lo, grid.hi) * max(-operand.lo, operand.hi)
        b.graph.values[outputs[-1]] = b.graph.value(outputs[-1]).with_(grid=Grid.span(-reach, reach))
    return b.program(*outputs)


def test_every_total_is_golden_s(tmp_path: Path) -> None:
    program = every_pair()
    folds = {node.name: Fold(1, 1) for node in program.graph if node.op == "steps"}  # else they are most of the circuit
    network = lower_program(program, default_folding(program, 5, 5) | folds)
    found = Simulator(network, write_project(network, tmp_path))
    images = random_inputs(program, 6, 1)["image"]
    images[0], images[1] = 0, 255
    result = found.run(images, pauses=(0.2, 0.2))
    for name, array in program.run(images).items():
        assert np.array_equal(result.outputs[name], array), name
