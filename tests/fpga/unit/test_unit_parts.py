# SPDX-License-Identifier: Apache-2.0
"""Parts of the scheduler: descriptors, addresses, digits, thresholds; and what a unit refuses."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlens.core.grid import Grid
from bitlens.core.steps import NEVER
from bitlens.fpga.network import FpgaError
from bitlens.fpga.unit.descriptor import FIELDS, pack_descriptor, unpack_descriptor
from bitlens.fpga.unit.place import place_tensors
from bitlens.fpga.unit.project import UNIT_RTL
from bitlens.fpga.unit.requantize import thresholds_of
from bitlens.fpga.unit.schedule import schedule, smallest_unit
from bitlens.fpga.unit.size import UnitSize, check_array
from bitlens.fpga.unit.weights import find_digits
from bitlens.graph.graph import Node
from bitlens.graph.ops import window_attrs
from programs import Builder
from unit_programs import small_unit_program


def test_the_circuit_takes_descriptors_apart_as_they_are_packed() -> None:
    layer, sequence, unit = ((UNIT_RTL / f"{name}.sv").read_text() for name in ("unit_layer", "unit_sequence", "unit"))
    orders = [
        re.search(r"assign \{(source1,.*?)\} = fields;", layer, re.S),
        re.search(r"assign \{(last,.*?)\} = descriptor\[OWN-1:0\]", sequence, re.S),
    ]
    names = [re.findall(r"\w+", order.group(1)) if order else [] for order in orders]
    every = [{"table_address": "table"}.get(name, name) for several in names for name in several]
    assert every == [name for name, _ in FIELDS]
    split = len(names[0])
    for text, name, fields in ((unit, "FIELDS", FIELDS[:split]), (sequence, "OWN", FIELDS[split:])):
        width = re.search(rf"localparam {name} = (\d+);", text)
        assert width is not None
        assert int(width.group(1)) == sum(bits for _, bits in fields)


@given(st.data(), st.sampled_from([4, 16, 64]))
@settings(max_examples=30)
def test_descriptors_come_back(data: st.DataObject, simd: int) -> None:
    fields = {name: data.draw(st.integers(0, (1 << (bits - 1)) - 1)) for name, bits in FIELDS}
    fields |= {"gain": data.draw(st.integers(-(1 << 15), (1 << 15) - 1)), "offset": -data.draw(st.integers(1, 1 << 31))}
    assert unpack_descriptor(pack_descriptor("layer", fields, simd)) == fields


def test_a_field_that_is_too_small() -> None:
    fields = {name: 0 for name, _ in FIELDS} | {"kernel_h": 256}
    with pytest.raises(FpgaError, match=r"^c: kernel_h must be 0 to 255 for the unit, not 256; take --shape stream$"):
        pack_descriptor("c", fields, 8)


@given(st.data(), st.integers(1, 8))
def test_tensors_that_live_together_do_not_overlap(data: st.DataObject, layers: int) -> None:
    names = ["in", *(f"t{i}" for i in range(layers))]
    sizes = {name: data.draw(st.integers(1, 9)) for name in names}
    steps = [
        (data.draw(st.lists(st.sampled_from(names[: i + 1]), min_size=1, max_size=2)), f"t{i}") for i in range(layers)
    ]
    kept = ["in", names[-1]]
    found = place_tensors(sizes, steps, kept)
    memory = dict.fromkeys(range(sum(sizes.values())), "")

    def write(name: str) -> None:
        memory.update(dict.fromkeys(range(found[name], found[name] + sizes[name]), name))

    def whole(name: str) -> bool:
        return all(memory[place] == name for place in range(found[name], found[name] + sizes[name]))

    write("in")
    for reads, result in steps:
        assert all(map(whole, reads))
        write(result)
        assert all(map(whole, reads))  # rows are read while rows are written
    assert all(map(whole, kept))


@given(st.lists(st.integers(-300, 300), min_size=1, max_size=20), st.booleans(), st.integers(1, 2))
def test_digits_give_weights(numbers: list[int], zero: bool, step: int) -> None:
    weights = np.array(numbers) * step
    digits = find_digits(weights, zero)
    held = np.append(weights, 0) if zero else weights
    split = digits.split(held).astype(np.int64)
    assert split.min() >= 0
    assert split.max() <= 3
    value = sum(((split[j] ^ 2) - 2) << (2 * j) for j in range(digits.count))
    assert np.array_equal((value << int(digits.twice)) + digits.gain, held)


@pytest.mark.parametrize(
    ("grid", "count"), [(Grid.odd(1), 1), (Grid.odd(2), 1), (Grid.ternary(), 1), (Grid.odd(4), 2), (Grid.narrow(8), 4)]
)
def test_few_digits_are_enough(grid: Grid, count: int) -> None:
    assert find_digits(grid.values(), False).count == count


@given(st.integers(0, 1 << 30), st.sampled_from(["rising", "falling", "rescale", "negative", "constant"]))
@settings(max_examples=60, deadline=None)
def test_thresholds_give_codes(seed: int, kind: str) -> None:
    rng, b = np.random.default_rng(seed), Builder()
    x = b.input((1, 200, 3), Grid.signed(8))
    grid = [Grid.unsigned(2), Grid.signed(4), Grid.unsigned(8), Grid.span(-2, 3)][int(rng.integers(4))]
    if kind in ("rising", "falling"):
        y = b.steps(x, rng, grid, kind=kind)
    else:
        sign = {"rescale": 1, "negative": -1, "constant": 0}[kind]
        rows = {"multiplier": sign * rng.integers(1, 1 << 12, 3), "addend": rng.integers(-(1 << 18), 1 << 18, 3)}
        y = b.op("rescale", x, grid=grid, **rows, shift=rng.integers(4, 14, 3), lo=grid.lo, hi=grid.hi)
    program = b.program(y)
    (node,) = program.graph.nodes
    image = rng.integers(-128, 128, (1, 200, 3))
    wanted = program.run(image[None])[y][0]
    thresholds, falls = thresholds_of(node, grid, 3)
    reached = (image[..., None] >= thresholds).sum(axis=-1)
    assert np.array_equal(np.where(falls, thresholds.shape[1] - reached, reached) + grid.lo, wanted)
    assert (np.diff(thresholds, axis=1) >= 0).all()


def test_steps_that_nothing_reaches() -> None:
    attrs = {"breakpoints": np.array([[0, 5, 5, NEVER]]), "values": np.array([[0, 1, 0, 2, 3]])}
    thresholds, falls = thresholds_of(Node("steps", "s", ["x"], ["y"], attrs), Grid.unsigned(2), 2)
    assert thresholds.tolist() == [[0, 5, NEVER]] * 2
    assert not falls.any()


def _refused(b: Builder, y: str) -> str:
    with pytest.raises(FpgaError) as caught:
        smallest_unit(b.program(y), 4, 8)
    return str(caught.value)


def test_what_is_no_layer_is_refused() -> None:
    b = Builder()
    x = b.input((4, 4, 2), Grid.unsigned(2))
    assert _refused(b, b.op("flatten", x)) == (
        "flatten0: op must be one of conv, steps, rescale, add, sum_pool, max_pool, upsample, crop, concat for a unit, "
        "not flatten; take --shape stream"
    )


def test_forms_that_do_not_fit_are_refused() -> None:
    rng, b = np.random.default_rng(0), Builder()
    x = b.input((4, 4, 2), Grid.unsigned(2))
    y = b.conv(x, rng, 2, Grid.narrow(8), (3, 3))
    wide = b.op("add", y, y)
    assert _refused(b, wide) == (
        "conv0: sums must be requantized to at most 8 bits for a unit, not have 12; take --shape stream"
    )
    b = Builder()
    x = b.input((4, 4, 2), Grid.unsigned(2))
    pool = b.op("max_pool", x, **window_attrs((2, 2), pads=(1, 1, 1, 1)))
    assert _refused(b, pool) == "max_pool0: max_pool must have no pads and dilation 1 for a unit; take --shape stream"
    b = Builder()
    x = b.input((4, 4, 2), Grid.unsigned(2))
    up = b.op("upsample", x, factor=(3, 2), repeat=1, pads=(0, 0, 0, 0))
    assert _refused(b, up) == (
        "upsample0: upsample must be by 1, 2 or 4 without pads, once, for a unit, not (3, 2); take --shape stream"
    )
    b = Builder()
    x = b.input((4, 4, 2), Grid.unsigned(2))
    table = {"breakpoints": np.array([[1, 2]]), "values": np.array([[0, 1, 0]])}
    steps = b.op("steps", x, grid=Grid.unsigned(1), **table)
    assert _refused(b, steps) == "steps0: steps must only rise or only fall for the unit, not both; take --shape stream"


def test_a_unit_that_is_too_small() -> None:
    with pytest.raises(FpgaError, match=r"^unit: weights must be at least 128 for this program, not 64$"):
        schedule(small_unit_program(), UnitSize(4, 8, 1, 24, 64, 128, 16))


@pytest.mark.parametrize(("pe", "simd"), [(3, 16), (16, 8), (0, 4), (1, 2), (16, 512)])
def test_arrays_that_cannot_be_built(pe: int, simd: int) -> None:
    with pytest.raises(FpgaError, match=rf"^array: must be PExSIMD, powers of two, .*, not {pe}x{simd}; try 16x16$"):
        check_array(pe, simd)
