# SPDX-License-Identifier: Apache-2.0
"""Circuits of random programs, and of random elements side by side: every integer that comes out is the model's."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from bitlens.fpga.folding import default_folding
from bitlens.fpga.lower import lower_program
from bitlens.fpga.network import FpgaError
from bitlens.fpga.project import write_project
from bitlens.fpga.simulate import Simulator
from element_bench import Bench
from programs import random_inputs, random_program
from random_elements import WIDTH, some_elements

__all__ = ["check_circuit", "check_elements", "random_pauses"]


def random_pauses(rng: np.random.Generator) -> tuple[float, float]:
    """How often sender and readers pause: mostly one of them, now and then neither."""
    return tuple(float(rng.choice([0.0, 0.1, 0.5, 0.95])) for _ in range(2))  # type: ignore[return-value]


def check_circuit(seed: int) -> str:
    """A program with random folds; or why it has no circuit."""
    rng, program = np.random.default_rng(seed), random_program(seed)
    folding = default_folding(program, int(rng.integers(1, 9)), int(rng.integers(1, 25)))
    try:
        network = lower_program(program, folding)
    except FpgaError as error:
        assert " must " in str(error)
        return "refused"
    images = random_inputs(program, 3, seed)["image"]
    golden = program.run(images)
    with tempfile.TemporaryDirectory() as folder:
        simulator = Simulator(network, write_project(network, Path(folder)))
        for pauses in ((0.0, 0.0), random_pauses(rng)):
            found = simulator.run(images, pauses=pauses, seed=seed % 1000).outputs
            for name, array in golden.items():
                assert np.array_equal(found[name], array), (name, pauses)
    return "exact"


def check_elements(seed: int) -> str:
    """One or two elements of every kind."""
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(WIDTH, some_elements(rng), Path(folder))
        for place in range(4):
            pauses = random_pauses(rng)
            assert bench.compare(place, pauses) == [], pauses
    return "exact"
