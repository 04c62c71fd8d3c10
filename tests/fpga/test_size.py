# SPDX-License-Identifier: Apache-2.0
"""Programs of any size get the one of a circuit."""

import re

import numpy as np
import pytest

from bitlens.core.grid import Grid
from bitlens.fpga.network import FpgaError
from bitlens.fpga.size import fix_size
from bitlens.graph.file import Program
from programs import Builder


def open_program(multiple: int = 1) -> Program:
    rng, b = np.random.default_rng(0), Builder()
    x = b.input((None, None, 2), Grid.unsigned(2))
    b.graph.values[x] = b.graph.value(x).with_(multiples=(multiple, multiple))
    return b.program(b.conv(x, rng, 3, Grid.odd(1), (3, 3), stride=(2, 2)))


def test_every_tensor_gets_its_size() -> None:
    fixed = fix_size(open_program(), (9, 7))
    assert {name: value.shape for name, value in fixed.graph.values.items()} == {"image": (9, 7, 2), "conv0": (4, 3, 3)}
    assert open_program().graph.value("conv0").shape == (None, None, 3)
    assert fix_size(fixed, (9, 7)).to_bytes() == fixed.to_bytes()
    images = np.random.default_rng(1).integers(0, 4, (2, 9, 7, 2))
    assert np.array_equal(fixed.run(images)["conv0"], open_program().run(images)["conv0"])


@pytest.mark.parametrize(
    ("shape", "size", "there"),
    [
        ((9, 7), (7, 9), "9x7, not 7x9"),
        ((9, 7), (9, 8), "9x7, not 9x8"),
        ((9, None), (8, 8), "9xany, not 8x8"),
    ],
)
def test_another_size_than_the_program_s_is_refused(
    shape: tuple[int, int | None], size: tuple[int, int], there: str
) -> None:
    program = open_program()
    program.graph.values["image"] = program.graph.value("image").with_(shape=(*shape, 2))
    sentence = f"image: size must be the program's, {there}; give that size"
    with pytest.raises(FpgaError, match=f"^{re.escape(sentence)}$"):
        fix_size(program, size)


@pytest.mark.parametrize(
    ("multiple", "size", "sentence"),
    [
        (4, (8, 10), "image: height and width must be multiples of 4x4, not 8x10"),
        (1, (2, 9), "conv0: the window of 3 must fit the padded size 2; give another size"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(multiple: int, size: tuple[int, int], sentence: str) -> None:
    with pytest.raises(FpgaError, match=f"^{re.escape(sentence)}$"):
        fix_size(open_program(multiple), size)
