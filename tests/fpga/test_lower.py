# SPDX-License-Identifier: Apache-2.0
"""Circuits beside the golden interpreter: every output integer, with and without pauses on both sides."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from bitlens.core.grid import Grid
from bitlens.fpga.folding import Fold, default_folding
from bitlens.fpga.lower import lower_program
from bitlens.fpga.lower.program import RULES
from bitlens.fpga.memory import pack_fields
from bitlens.fpga.network import FpgaError, integer_bits
from bitlens.fpga.project import write_project
from bitlens.fpga.simulate import Simulator
from bitlens.fpga.verilate import find_verilator
from bitlens.graph.ops import INTEGER_OPS
from circuits import branches, orders
from programs import Builder, random_inputs, step_program

PAUSES = ((0.0, 0.0), (0.3, 0.3), (0.9, 0.0), (0.0, 0.9))


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Simulator:
    network = lower_program(branches(), default_folding(branches(), 3, 2))
    folder = write_project(network, tmp_path_factory.mktemp("circuit"))
    return Simulator(network, folder)


@pytest.mark.parametrize("pauses", PAUSES)
def test_every_integer_is_golden_s(simulator: Simulator, pauses: tuple[float, float]) -> None:
    program = branches()
    images = random_inputs(program, 5, 1)["image"]
    golden = program.run(images)
    found = simulator.run(images, pauses=pauses)
    assert found.outputs.keys() == golden.keys()
    for name, array in found.outputs.items():
        assert np.array_equal(array, golden[name])
    assert found.first < found.cycles


def test_the_bottleneck_sets_the_pace(simulator: Simulator) -> None:
    images = random_inputs(branches(), 40, 2)["image"]
    cycles = simulator.run(images).cycles / 40
    assert simulator.network.bottleneck.cycles <= cycles <= 1.05 * simulator.network.bottleneck.cycles


def test_the_circuit_is_clean(simulator: Simulator) -> None:
    command, environment = find_verilator()
    files = [str(path) for path in sorted((simulator.root / "rtl").glob("*.sv"))]
    done = subprocess.run(
        [*command, "--lint-only", "-Wall", "--top-module", "top", *files],
        cwd=simulator.root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_words_hold_fields_from_the_lowest_bit() -> None:
    memory = pack_fields((np.array([[1, -1, 2]]), 3), (np.array([[1]]), 2))
    assert (memory.words, memory.width) == ([0b01_010_111_001], 11)
    assert [integer_bits(grid) for grid in (Grid.unsigned(2), Grid.signed(4), Grid.odd(1), Grid.span(-9, 3))] == [
        (2, False),
        (4, True),
        (2, True),
        (5, True),
    ]


def test_orders_gates_and_groups(tmp_path: Path) -> None:
    program = orders()
    network = lower_program(program, default_folding(program, 4, 2) | {"select0": Fold(2), "lookup11": Fold(3)})
    simulator = Simulator(network, write_project(network, tmp_path))
    images = random_inputs(program, 6, 1)["image"]
    golden = program.run(images)
    for pauses in PAUSES:
        for name, array in simulator.run(images, pauses=pauses).outputs.items():
            assert np.array_equal(array, golden[name])


def test_the_number_of_the_largest_channel(tmp_path: Path) -> None:
    program = orders()
    network = lower_program(program, default_folding(program, 4, 2), argmax=True)
    images = random_inputs(program, 3, 2)["image"]
    found = Simulator(network, write_project(network, tmp_path)).run(images).outputs
    for name, array in program.run(images).items():
        assert np.array_equal(found[name][..., 0], array.argmax(axis=-1))
    (first, _) = program.graph.outputs
    program.graph.values[first] = program.graph.value(first).with_(scale=np.arange(7, dtype=np.float32))
    sentence = f"{first}: all channels must have one positive scale and one offset for argmax, not several"
    with pytest.raises(FpgaError, match=f"^{sentence}$"):
        lower_program(program, default_folding(program), argmax=True)


def test_vectors_come_while_the_ones_before_are_worked_on(tmp_path: Path) -> None:
    rng, b = np.random.default_rng(0), Builder()
    x = b.input((4, 4, 8), Grid.unsigned(2))
    y = b.steps(b.conv(x, rng, 16, Grid.odd(1)), rng, Grid.unsigned(2))
    program = b.program(b.conv(y, rng, 8, Grid.odd(1)))
    network = lower_program(program, {"conv0": Fold(1, 1), "conv2": Fold(1, 1)})
    found = Simulator(network, write_project(network, tmp_path)).run(random_inputs(program, 20, 1)["image"])
    assert found.cycles / 20 <= 1.02 * network.bottleneck.cycles == 1.02 * 16 * 128


def test_every_op_has_a_rule() -> None:
    assert RULES.keys() == INTEGER_OPS.keys()


def test_refusals(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    b = Builder()
    open_size = b.program(b.conv(b.input((None, 4, 4), Grid.unsigned(2)), rng, 4, Grid.odd(1)))
    for program, folds, sentence in (
        (step_program(), {}, "program: must have one input for a circuit, not 3"),
        (open_size, {}, "image: size must be fixed for a circuit, not symbolic; give --size HxW"),
        (
            branches(),
            {"conv0": Fold(4, 1)},
            "conv0: folds must divide 6 outputs and 4 inputs of a tap, or 3 taps of it, not be Fold(pe=4, simd=1, kernel='fold')",
        ),
    ):
        with pytest.raises(FpgaError, match=f"^{re.escape(sentence)}$"):
            lower_program(program, folds)
