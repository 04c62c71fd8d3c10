# SPDX-License-Identifier: Apache-2.0
"""Products and sums of elements: the model, and every structural body of `pe.sv` beside the plain one."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlens.core.grid import Grid
from bitlens.fpga.folding import Fold, default_folding
from bitlens.fpga.lower import lower_program
from bitlens.fpga.network import Element, Network, Stream
from bitlens.fpga.products import Products, pe_latency
from bitlens.fpga.project import CELLS, RTL, write_project
from bitlens.fpga.simulate import Simulator
from circuits import branches
from programs import Builder, random_inputs

WIDTHS = [(1, 1), (1, 2), (2, 2), (3, 2), (3, 3), (4, 4), (8, 2), (8, 8)]  # of number and weight
SIMDS = {1: (2, 20), 2: (1, 13), 3: (7,), 4: (5,), 8: (3,)}  # by bits of the number


@given(
    grid=st.sampled_from([Grid.odd(1), Grid.odd(2), Grid.odd(3), Grid.signed(2), Grid.narrow(8), Grid.ternary()]),
    in_bits=st.integers(1, 8),
    in_signed=st.booleans(),
    seed=st.integers(0, 99),
)
def test_sums_are_those_of_the_equation(grid: Grid, in_bits: int, in_signed: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = grid.decode(rng.integers(0, grid.levels, (3, 5))).astype(np.int64)
    products = Products(weights, in_bits, in_signed)
    half = 1 << (in_bits - 1)
    inputs = rng.integers(-half if in_signed else 0, half if in_signed else 2 * half, (7, 5))
    most, bits, stored = (1 << in_bits) - 1, products.weight_bits, products.stored
    for row, sums in zip(inputs, products.sums(inputs), strict=True):
        numbers = row + half if in_signed else row
        for weight, code, total in zip(weights, stored, sums, strict=True):
            if products.odd:
                assert 0 <= code.min() <= code.max() < 1 << bits
                terms = ((1 << bits) - 1 - 2 * code) * numbers + most * code
                assert terms.min() >= 0
            else:
                assert -(1 << (bits - 1)) <= weight.min() <= weight.max() < 1 << (bits - 1)
                terms = weight * numbers
            assert total == terms.sum()
    lo, hi = products.range(-half if in_signed else 0, (half if in_signed else 2 * half) - 1)
    assert lo <= products.sums(inputs).min() <= products.sums(inputs).max() <= hi


def test_odd_weights_need_no_bit_for_a_sign() -> None:
    assert [Products(np.array([[-n, n]]), 2, False).weight_bits for n in (1, 3, 15)] == [1, 2, 4]
    assert Products(np.array([[-15, 15]]), 8, False).weight_bits == 5  # multiplied: two's complement
    assert [Products(np.array([row]), 2, False).weight_bits for row in ([0, 1], [-2, 1], [0, 0])] == [2, 2, 1]


@pytest.mark.parametrize("target", ["xc7", "ecp5", "gowin"])
def test_structural_elements_equal_the_plain_one(target: str, tmp_path: Path) -> None:
    kinds = [(*widths, odd, simd) for widths in WIDTHS for odd in (0, 1) for simd in SIMDS[widths[0]]]
    kinds = [kind for kind in kinds if sum(kind[:2]) <= 8 or not kind[2]]  # multipliers take two's complement
    differing = _beats(target, kinds, tmp_path, 10_000)
    assert [kind for kind, count in zip(kinds, differing, strict=True) if count] == []


@pytest.mark.parametrize("target", ["xc7", "ecp5"])
def test_a_circuit_of_primitives_is_golden_with_pauses(target: str, tmp_path: Path) -> None:
    program = branches()
    network = lower_program(program, default_folding(program, 3, 4), target)
    simulator = Simulator(network, write_project(network, tmp_path), structural=True)
    images = random_inputs(program, 4, 1)["image"]
    golden = program.run(images)
    for name, array in simulator.run(images, pauses=(0.3, 0.3)).outputs.items():
        assert np.array_equal(array, golden[name])


@pytest.mark.parametrize("simd", [2, 1])
def test_a_vector_kept_in_banks_is_golden_with_pauses(simd: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(simd)
    b = Builder()
    x = b.input((4, 3, 42), Grid.unsigned(2))
    program = b.program(b.conv(x, rng, 6, Grid.odd(2), (1, 1)))
    network = lower_program(program, {"conv0": Fold(2, simd, "fold")}, "ecp5")  # 21 words in one bank, 42 in two
    simulator = Simulator(network, write_project(network, tmp_path), structural=True)
    images = random_inputs(program, 3, 1)["image"]
    golden = program.run(images)
    for name, array in simulator.run(images, pauses=(0.3, 0.3)).outputs.items():
        assert np.array_equal(array, golden[name])


def test_a_difference_would_be_seen(tmp_path: Path) -> None:
    cells = CELLS.read_text()
    broken = cells.replace("wire c4 = S[3] ? c3 : DI[3];", "wire c4 = DI[3];")
    assert broken != cells
    assert _beats("xc7", [(2, 2, 1, 13)], tmp_path, 2000, broken)[0] > 0


def _beats(target: str, kinds: list[tuple[int, int, int, int]], folder: Path, count: int, cells: str = "") -> list[int]:
    """How many of `count` beats each kind of element differs in: random ones, after all lowest and all highest numbers."""
    for part in ("rtl", "sim"):
        (folder / part).mkdir()
    for path in RTL.iterdir():
        (folder / "rtl" / path.name).write_bytes(path.read_bytes())
    (folder / "sim" / "cells.sv").write_text(cells or CELLS.read_text())
    (folder / "rtl" / "top.sv").write_text(_bench(target, kinds))
    operand = max(simd * max(a, w) for a, w, _, simd in kinds)
    source = Stream("s", (1, 1, 2 * operand + 1), 1, False, 2 * operand + 1)
    result = Stream("m0", (1, 1, len(kinds)), 1, False, len(kinds))
    bench = Element("bench", "top", {}, {}, {}, cycles=1)
    network = Network("top", [bench], {"s": source.width, "m0": result.width}, source, {"differs": result}, target)
    rng = np.random.default_rng(0)
    beats = rng.integers(0, 2, (count, 1, 1, source.width))
    edges = [
        np.concatenate([[1], np.full(operand, numbers), np.full(operand, weights)])
        for numbers in (0, 1)
        for weights in (0, 1)
    ]
    for place, edge in enumerate(edges):
        beats[20 * place : 20 * place + 20, 0, 0] = edge
    return [int(n) for n in Simulator(network, folder, structural=True).run(beats).outputs["differs"].sum((0, 1, 2))]


def _bench(target: str, kinds: list[tuple[int, int, int, int]]) -> str:
    """A top level with a structural and a plain element of every kind; it says where their totals differ."""
    operand = max(simd * max(a, w) for a, w, _, simd in kinds)
    width = 2 * operand + 1
    lines = [
        "module top #(parameter BEHAVIOURAL = 0) (",
        f"input logic clk, input logic rst, input logic [{width - 1}:0] s_data, input logic s_valid, output logic s_ready,",
        f"output logic [{len(kinds) - 1}:0] m0_data, output logic m0_valid, input logic m0_ready);",
        "assign s_ready = 1'b1; assign m0_valid = s_valid;",
        "wire valid = s_data[0]; logic [1:0] beat; logic [4:0] age; logic complete;",  # vectors of three valid beats
        "always_ff @(posedge clk) begin complete <= valid && beat == 2 && age == 31 && !rst;",
        "age <= rst ? 0 : age == 31 ? 31 : age + 1;",  # until the pipelines are full
        "if (rst) beat <= 0; else if (valid) beat <= beat == 2 ? 0 : beat + 1; end",
        f"wire [{operand - 1}:0] a = s_data[1+:{operand}]; wire [{operand - 1}:0] w = s_data[{1 + operand}+:{operand}];",
    ]
    for place, (in_bits, weight_bits, odd, simd) in enumerate(kinds):
        latency = pe_latency(simd, in_bits, weight_bits, target)
        lines.append(
            f"logic signed [19:0] x{place}, y{place}; assign m0_data[{place}] = complete && x{place} != y{place};"
        )
        for name, behavioural in (("x", 0), ("y", 1)):
            lines.append(
                f"pe #(.SIMD({simd}), .IN_BITS({in_bits}), .WEIGHT_BITS({weight_bits}), .ODD({odd}), .ACC_BITS(20), .BEATS(3),"
                f'.START({place}), .LATENCY({latency}), .TARGET("{target}"), .BEHAVIOURAL({behavioural})) u_{name}{place} (.clk(clk),'
                f".numbers(a[{simd * in_bits - 1}:0]), .weights(w[{simd * weight_bits - 1}:0]),"
                f".first(beat == 0), .valid(valid), .total({name}{place}));"
            )
    return "\n".join([*lines, "endmodule", ""])
