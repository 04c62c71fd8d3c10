# SPDX-License-Identifier: Apache-2.0
"""Schedules, run word by word in numpy, beside the golden interpreter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlens.fpga.unit.memory import from_bytes, from_words, to_bytes, to_words
from bitlens.fpga.unit.model import run_unit
from bitlens.fpga.unit.schedule import Schedule, schedule, smallest_unit
from bitlens.graph.file import Program
from programs import random_inputs
from unit_programs import all_ways, small_unit_program, unit_program


def run_model(found: Schedule, image: np.ndarray) -> dict[str, np.ndarray]:
    """What the model leaves in memory, by output."""
    simd = found.size.simd
    memory = np.full((found.words, simd), 3, np.uint8)  # what was there before does not matter
    memory[: len(found.constants)] = found.constants
    words = to_words(image, found.tensors[found.input], simd)
    memory[found.addresses[found.input] :][: len(words)] = words
    assert run_unit(memory, found.size) == len(found.steps)
    outputs = {}
    for name, view in found.outputs.items():
        tensor = found.tensors[view.tensor]
        count = tensor.shape[0] * tensor.shape[1] * tensor.planes * found.folds(view.tensor)
        outputs[name] = from_words(memory[found.addresses[view.tensor] :][:count], tensor, view)
    return outputs


def check(program: Program, pe: int, simd: int, seed: int = 0) -> None:
    images = random_inputs(program, 1, seed)[program.graph.inputs[0]]
    found = run_model(schedule(program, smallest_unit(program, pe, simd)), images[0])
    for name, wanted in program.run(images).items():
        assert np.array_equal(found[name], wanted[0]), name


@pytest.mark.parametrize(("pe", "simd"), [(1, 4), (4, 8), (16, 16), (8, 32)])
@pytest.mark.parametrize("make", [all_ways, small_unit_program])
def test_every_way(make: type[Program], pe: int, simd: int) -> None:
    check(make(), pe, simd)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 30), st.sampled_from([(1, 4), (4, 4), (2, 8), (8, 16)]))
def test_random_programs(seed: int, array: tuple[int, int]) -> None:
    check(unit_program(seed), *array, seed)


@given(st.integers(0, 1 << 30), st.sampled_from([4, 8, 32]))
@settings(max_examples=20, deadline=None)
def test_words_are_tensors(seed: int, simd: int) -> None:
    program = unit_program(seed)
    found = schedule(program, smallest_unit(program, 4, simd))
    tensor = found.tensors[found.input]
    image = random_inputs(program, 1, seed)[program.graph.inputs[0]][0]
    words = to_words(image, tensor, simd)
    assert words.max(initial=0) <= 3
    assert len(words) == image.shape[0] * image.shape[1] * tensor.planes * found.folds(found.input)
    assert np.array_equal(from_bytes(to_bytes(words)), words)
    view = found.steps[0].layer.core.views[0]
    assert np.array_equal(from_words(words, tensor, view), image[: view.height, : view.width])
