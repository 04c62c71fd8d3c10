# SPDX-License-Identifier: Apache-2.0
"""The simulator itself: several circuits at once, cycles of every image, circuits that stand still or do not build."""

from pathlib import Path

import numpy as np
import pytest

from bitlens.core.grid import Grid
from bitlens.fpga.folding import default_folding
from bitlens.fpga.lower import lower_program
from bitlens.fpga.network import FpgaError, Stream
from bitlens.fpga.project import write_project
from bitlens.fpga.simulate import Simulator, _from_beats, _to_beats
from bitlens.fpga.verilate import pauses_of
from bitlens.graph.file import Program
from programs import Builder, random_inputs


def small() -> Program:
    rng = np.random.default_rng(0)
    b = Builder()
    x = b.steps(b.conv(b.input((4, 4, 3), Grid.unsigned(8)), rng, 4, Grid.narrow(4), (3, 3)), rng, Grid.unsigned(2))
    return b.program(x, b.conv(x, rng, 2, Grid.odd(1), (1, 1)))


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Simulator:
    network = lower_program(small(), default_folding(small()))
    return Simulator(network, write_project(network, tmp_path_factory.mktemp("circuit")))


@pytest.mark.parametrize("circuits", [1, 2, 3, 9])
def test_circuits_share_the_images(simulator: Simulator, circuits: int) -> None:
    images = random_inputs(small(), 7, 1)["image"]
    seen: list[int] = []
    found = simulator.run(images, circuits=circuits, pauses=(0.3, 0.3), progress=seen.append)
    for name, array in small().run(images).items():
        assert np.array_equal(found.outputs[name], array)
    assert found.share == {1: (7,), 2: (4, 3), 3: (3, 2, 2), 9: (1,) * 7}[circuits]
    assert seen[-1] == 7


def test_cycles_of_every_image(simulator: Simulator) -> None:
    images = random_inputs(small(), 12, 1)["image"]
    found = simulator.run(images)
    assert 0 < found.first <= found.ends[0]
    assert np.all(np.diff(found.ends) > 0)
    assert found.cycles == found.ends[-1] + 1
    assert found.interval == (found.ends[-1] - found.ends[0]) / 11
    both = simulator.run(images, circuits=2)
    assert both.interval == (both.ends[5] - both.ends[0] + both.ends[11] - both.ends[6]) / 10
    assert simulator.run(images[:1]).interval is None
    assert simulator.run(images[:2], circuits=2).interval is None  # one image each


def test_pauses_are_the_seed_s(simulator: Simulator) -> None:
    images = random_inputs(small(), 3, 1)["image"]
    one, same, other = (simulator.run(images, pauses=(0.5, 0.5), seed=seed).cycles for seed in (5, 5, 6))
    assert one == same != other


def test_every_seed_has_pauses_of_its_own(simulator: Simulator) -> None:
    images = random_inputs(small(), 3, 1)["image"]
    ends = {tuple(simulator.run(images, pauses=(0.5, 0.5), seed=seed).ends) for seed in (*range(8), (1 << 64) - 1)}
    assert len(ends) == 9


def test_pauses_are_as_often_as_asked(simulator: Simulator) -> None:
    """The sender alone sets the pace where it gives a beat in 500 or 1,000 cycles."""
    images = random_inputs(small(), 20, 1)["image"]
    beats = len(images) * simulator.network.input.beats
    for wait in (500, 1000):
        assert 0.8 < simulator.run(images, pauses=(1 - 1 / wait, 0.0)).cycles / (beats * wait) < 1.2
    assert [pauses_of(often) for often in (0.0, 0.001, 0.5, 1.0)] == [0, 4294967, 1 << 31, 1 << 32]


def test_a_circuit_that_stands_still(simulator: Simulator) -> None:
    images = random_inputs(small(), 1, 1)["image"]
    with pytest.raises(
        FpgaError, match=r"^simulation: circuit must finish within [0-9,]+ cycles, not stand still; full queues: none$"
    ):
        simulator.run(images, pauses=(1.0, 0.0))


def test_a_circuit_that_does_not_build(tmp_path: Path) -> None:
    network = lower_program(small(), default_folding(small()))
    folder = write_project(network, tmp_path)
    (folder / "rtl" / "top.sv").write_text("module top (\n")
    with pytest.raises(
        FpgaError, match=r"^verilator: circuit must build, not fail: %Error: .*top\.sv:\d+:\d+: syntax error"
    ):
        Simulator(network, folder)


@pytest.mark.parametrize(("bits", "signed", "lanes"), [(1, False, 3), (8, False, 3), (5, True, 2), (9, True, 8)])
def test_beats_are_lanes_from_the_lowest_bit(bits: int, signed: bool, lanes: int) -> None:
    stream = Stream("s", (3, 2, 2 * lanes), bits, signed, lanes)
    low = -(1 << (bits - 1)) if signed else 0
    images = np.random.default_rng(0).integers(low, low + (1 << bits), (70, *stream.shape))
    beats = _to_beats(images, stream)
    assert len(beats) == 70 * stream.beats
    word = int.from_bytes(beats[1].tobytes(), "little")
    assert word == sum(
        (int(code) & ((1 << bits) - 1)) << (bits * i) for i, code in enumerate(images.ravel()[lanes : 2 * lanes])
    )
    assert np.array_equal(_from_beats(beats, stream, 70), images)
