# SPDX-License-Identifier: Apache-2.0
"""Networks that are shipped, as circuits: lowered, simulated, every integer compared."""

import re
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from bitlens.fpga.devices import load_device
from bitlens.fpga.folding import default_folding
from bitlens.fpga.lower import lower_program
from bitlens.fpga.network import FpgaError
from bitlens.fpga.plan import plan
from bitlens.fpga.project import write_project
from bitlens.fpga.simulate import Simulator
from bitlens.fpga.size import fix_size
from bitlens.graph.file import Program

ROOT = Path(__file__).parents[2]
SIZES = {"src/bitlens/vision/models/face_detector.bitlens": (64, 96)}  # height and width
REFUSED = {"docs/results/ptb/lstm_w2a2/lstm_w2a2.bitlens": "program: must have one input for a circuit, not 3"}


def pictures(program: Program, count: int) -> np.ndarray:
    """Pieces of a photograph, (count, H, W, C), around the face."""
    (name,) = program.graph.inputs
    height, width, channels = program.graph.value(name).shape or ()
    assert height is not None
    assert width is not None
    photograph = data.astronaut()
    pieces = [photograph[y : y + height, 180 : 180 + width] for y in range(60, 60 + 8 * count, 8)]
    return np.stack(pieces) if channels == 3 else np.stack(pieces)[..., 1:2]


@pytest.mark.parametrize("name", SIZES)
def test_every_integer_is_golden_s(name: str, tmp_path: Path) -> None:
    program = fix_size(Program.load(ROOT / name), SIZES[name])
    network = lower_program(program, default_folding(program, 2, 8))
    simulator = Simulator(network, write_project(network, tmp_path))
    images = pictures(program, 2)
    golden, found = program.run(images), simulator.run(images)
    assert found.outputs.keys() == golden.keys()
    for output, array in found.outputs.items():
        assert np.array_equal(array, golden[output])


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_circuit_says_why(name: str) -> None:
    program = Program.load(ROOT / name)
    with pytest.raises(FpgaError, match=f"^{re.escape(REFUSED[name])}$"):
        lower_program(program, default_folding(program))
    for frames in (None, 1000):
        with pytest.raises(FpgaError, match=f"^{re.escape(REFUSED[name])}$"):
            plan(program, load_device("xc7z020"), frames)
