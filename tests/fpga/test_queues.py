# SPDX-License-Identifier: Apache-2.0
"""Queues behind forks: deep enough for every timing, no deeper than what waits in them, named where they are too small."""

import re
from pathlib import Path

import numpy as np
import pytest

from bitlens.core.grid import Grid
from bitlens.fpga.folding import default_folding
from bitlens.fpga.lower import lower_program
from bitlens.fpga.network import Element, FpgaError, Network
from bitlens.fpga.project import write_project
from bitlens.fpga.simulate import Simulator
from bitlens.fpga.standstill import Beats
from bitlens.graph.file import Program
from bitlens.graph.ops import window_attrs
from programs import Builder, random_inputs


def residual() -> Program:
    """Two 3x3 layers beside nothing, then a shortcut with a stride, then a sum over the whole image."""
    rng, b, grid = np.random.default_rng(0), Builder(), Grid.unsigned(2)
    x = b.input((16, 12, 4), grid)
    y = b.steps(b.conv(x, rng, 4, Grid.odd(1), (3, 3), pads=(1, 1, 1, 1)), rng, grid)
    y = b.steps(b.conv(y, rng, 4, Grid.odd(1), (3, 3), pads=(1, 1, 1, 1)), rng, Grid.signed(4))
    z = b.steps(b.op("add", y, x), rng, grid)
    y = b.steps(b.conv(z, rng, 4, Grid.odd(1), (3, 3), pads=(1, 1, 1, 1), stride=(2, 2)), rng, grid)
    y = b.steps(b.conv(y, rng, 4, Grid.odd(1), (3, 3), pads=(1, 1, 1, 1)), rng, Grid.signed(4))
    s = b.steps(b.conv(z, rng, 4, Grid.odd(2), (1, 1), stride=(2, 2)), rng, Grid.signed(4))
    return b.program(b.op("sum_pool", b.op("add", y, s), **window_attrs((8, 6))))


def network() -> Network:
    program = residual()
    return lower_program(program, default_folding(program, 4, 4))


def queues(network: Network) -> list[Element]:
    return [element for element in network.elements if element.name.endswith(("_a_fifo", "_b_fifo"))]


def test_depths_are_some_rows_and_no_image() -> None:
    depths = [queue.parameters["DEPTH"] for queue in queues(network())]
    assert depths == [2, 51, 2, 69]  # of 192 beats; behind each fork the way through the layers, then the shortcut


@pytest.mark.parametrize("place", [1, 3])
def test_a_circuit_without_a_clock_stops_where_a_queue_is_too_small(place: int) -> None:
    circuit = network()
    queue = queues(circuit)[place]
    assert Beats(circuit, 2).run() == []
    queue.parameters["DEPTH"] = 12
    beats = Beats(circuit, 2)
    assert queue.outputs["out"] in beats.run()
    queue.parameters["DEPTH"] = 48
    assert beats.run() == []  # it goes on from where it stood


def test_no_timing_stops_a_circuit(tmp_path: Path) -> None:
    circuit, program = network(), residual()
    simulator = Simulator(circuit, write_project(circuit, tmp_path))
    images = random_inputs(program, 20, 1)["image"]
    (golden,) = program.run(images).values()
    for pauses in ((0.0, 0.0), (0.5, 0.5), (0.9, 0.0), (0.0, 0.9)):
        found = simulator.run(images, pauses=pauses)
        assert np.array_equal(*found.outputs.values(), golden)
    assert simulator.run(images).cycles / 20 <= 1.05 * circuit.bottleneck.cycles


def test_a_queue_that_is_too_small_is_named(tmp_path: Path) -> None:
    circuit = network()
    shortcut = queues(circuit)[1]
    shortcut.parameters["DEPTH"] = 12
    simulator = Simulator(circuit, write_project(circuit, tmp_path))
    with pytest.raises(FpgaError) as caught:
        simulator.run(random_inputs(residual(), 2, 1)["image"])
    sentence = "simulation: circuit must finish within [0-9,]+ cycles, not stand still; full queues: .*"
    assert re.fullmatch(sentence, str(caught.value))
    assert shortcut.name in str(caught.value)
