# SPDX-License-Identifier: Apache-2.0
"""The unit in Verilator beside the golden interpreter, the model of its clock and the model of its memory: one unit, many programs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlens.core.grid import Grid
from bitlens.fpga.network import FpgaError
from bitlens.fpga.size import fix_size
from bitlens.fpga.unit.cycles import image_cycles, layer_ends, traffic
from bitlens.fpga.unit.project import write_unit
from bitlens.fpga.unit.schedule import schedule, smallest_unit
from bitlens.fpga.unit.simulate import UnitSimulator
from bitlens.fpga.unit.size import UnitSize
from bitlens.graph.file import Program
from programs import Builder, random_inputs
from unit_programs import all_ways, small_unit_program, unit_program

SIZE = UnitSize(pe=4, simd=8, lanes=2, acc_bits=24, weights=8192, ring=2048, groups=64)
BITFCN = Path(__file__).parents[3] / "docs" / "results" / "camvid" / "w2a2g32" / "bitfcn_w2a2.bitlens"


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> UnitSimulator:
    found = schedule(small_unit_program(), SIZE)
    return UnitSimulator(SIZE, write_unit(found, tmp_path_factory.mktemp("unit")))


def check(simulator: UnitSimulator, program: Program, seed: int, latency: int, pauses: float, count: int = 2) -> None:
    images = random_inputs(program, count, seed)[program.graph.inputs[0]]
    ring = smallest_unit(program, simulator.size.pe, simulator.size.simd).ring  # rows wait for one another
    found = schedule(program, replace(simulator.size, ring=ring))
    run = simulator.run(found, images, latency=latency, pauses=pauses, seed=seed)
    for name, wanted in program.run(images).items():
        assert np.array_equal(run.outputs[name], wanted), name
    assert (run.read, run.written) == tuple(map(sum, zip(*traffic(found), strict=True)))
    ends, cycles = layer_ends(found, latency), image_cycles(found, latency)
    if pauses:
        assert run.cycles.min() > cycles
    else:
        assert run.ends.tolist() == [ends] * count
        assert run.cycles.tolist() == [cycles] * count


@pytest.mark.parametrize(("latency", "pauses"), [(1, 0.0), (9, 0.0), (3, 0.5)])
@pytest.mark.parametrize("make", [all_ways, small_unit_program])
def test_every_way(simulator: UnitSimulator, make: type[Program], latency: int, pauses: float) -> None:
    check(simulator, make(), 1, latency, pauses)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1 << 30), st.integers(1, 40), st.sampled_from([0.0, 0.0, 0.3, 0.9]))
def test_random_programs(simulator: UnitSimulator, seed: int, latency: int, pauses: float) -> None:
    check(simulator, unit_program(seed), seed, latency, pauses)


@pytest.mark.parametrize("pauses", [0.0, 0.3])
def test_a_trained_bit_fully_convolutional_net(simulator: UnitSimulator, pauses: float) -> None:
    """2-bit convolutions with dilation, 8-bit ends and shortcuts, adds, zero insertion: 40 layers."""
    check(simulator, fix_size(Program.load(BITFCN), (8, 16)), 1, 8, pauses, 1)


def test_a_small_ring_is_used_again_and_again(simulator: UnitSimulator) -> None:
    rng, b = np.random.default_rng(0), Builder()
    program = b.program(b.conv(b.input((40, 5, 9), Grid.unsigned(2)), rng, 3, Grid.odd(2), (3, 3), pads=(1, 1, 1, 1)))
    images = random_inputs(program, 1, 0)["image"]
    wide, tight = (schedule(program, replace(SIZE, ring=ring)) for ring in (2048, 64))
    assert wide.steps[0].fields["slots"] > 40
    assert tight.steps[0].fields["slots"] == 6
    for found in (wide, tight):
        run = simulator.run(found, images, latency=200)
        assert np.array_equal(run.outputs["conv0"], program.run(images)["conv0"])
        assert run.ends[0].tolist() == layer_ends(found, 200)


def test_a_memory_that_never_answers(simulator: UnitSimulator) -> None:
    found = schedule(small_unit_program(), SIZE)
    images = random_inputs(small_unit_program(), 1, 0)["image"]
    with pytest.raises(FpgaError, match=r"^simulation: unit must finish within [0-9,]+ cycles, not stand still$"):
        simulator.run(found, images, pauses=1.0)


def test_the_bodies_of_devices_are_the_same_in_every_cycle(tmp_path: Path) -> None:
    size = UnitSize(pe=2, simd=4, lanes=1, acc_bits=20, weights=256, ring=512, groups=8, target="xc7")
    program = small_unit_program()
    found, images = schedule(program, size), random_inputs(program, 1, 0)["image"]
    unit = UnitSimulator(size, write_unit(found, tmp_path), structural=True)
    run = unit.run(found, images)
    assert np.array_equal(run.outputs["conv2"], program.run(images)["conv2"])
    assert run.ends[0].tolist() == layer_ends(found)
