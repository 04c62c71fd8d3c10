# SPDX-License-Identifier: Apache-2.0
"""Adders of hard-wired layers: beside a plain model of their bits, beside the form that simulates fast, and in circuits."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlens.core.grid import Grid
from bitlens.fpga.folding import Fold
from bitlens.fpga.hardwired import NUMBERS, Adder, Bit, Hardwired, Tables, hardwire
from bitlens.fpga.lower import lower_program
from bitlens.fpga.memory import weight_words
from bitlens.fpga.network import Element, FpgaError, Network, Stream
from bitlens.fpga.products import Products
from bitlens.fpga.project import CELLS, RTL, write_project
from bitlens.fpga.simulate import Simulator
from bitlens.fpga.sums_module import sums_module
from bitlens.graph.file import Program
from programs import Builder, random_inputs

GRIDS = [Grid.odd(1), Grid.odd(2), Grid.odd(4), Grid.ternary(), Grid.unsigned(2), Grid.signed(3), Grid.narrow(8)]
KINDS = [  # grid of the weights, bits and sign of an input, outputs, inputs
    (Grid.odd(2), 2, False, 9, 13),
    (Grid.odd(1), 1, False, 16, 21),
    (Grid.ternary(), 2, True, 7, 12),
    (Grid.unsigned(2), 2, False, 8, 9),
    (Grid.odd(3), 3, False, 5, 7),
    (Grid.narrow(4), 4, True, 5, 5),
    (Grid.narrow(8), 8, True, 3, 5),
    (Grid.odd(1), 2, False, 1, 1),
]


def weights_of(grid: Grid, outputs: int, inputs: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return grid.decode(rng.integers(0, grid.levels, (outputs, inputs))).astype(np.int64)


def totals_of(made: Hardwired, inputs: np.ndarray) -> np.ndarray:
    """Every node in order, bit by bit: (vectors, inputs) -> (vectors, outputs); cycles do not matter here."""
    count = len(inputs)
    bits = (inputs[:, :, None] >> np.arange(made.in_bits)) & 1
    nets = {NUMBERS: bits.reshape(count, -1)}

    def value(bit: Bit) -> np.ndarray:
        return nets[bit.net][:, bit.place] ^ bit.inverted if bit.net else np.zeros(count, np.int64)

    def number(several: list[Bit]) -> np.ndarray:
        return sum((value(bit) << place for place, bit in enumerate(several)), np.zeros(count, np.int64))

    for node in made.nodes:
        if isinstance(node, Tables):
            index = number([Bit(NUMBERS, node.first + place) for place in range(node.bits)])
            nets[node.net] = np.stack([np.array([column >> int(i) & 1 for i in index]) for column in node.columns], 1)
        elif isinstance(node, Adder):
            total = sum(map(number, node.numbers), value(node.carry))
            nets[node.net] = (total[:, None] >> np.arange(len(node.numbers[0]) + 1)) & 1
        else:
            carries = [
                sum(value(bit) ^ turn for bit, turn in zip(node.bits, turns, strict=True)) >> 1
                for turns in node.carries
            ]
            nets[node.net] = np.stack([sum(map(value, node.bits)) & 1, *carries], 1)
    return np.stack([number(bits) for bits in made.totals], 1)


@given(
    grid=st.sampled_from(GRIDS),
    outputs=st.integers(1, 9),
    inputs=st.integers(1, 40),
    in_bits=st.integers(1, 8),
    in_signed=st.booleans(),
    radix=st.sampled_from([2, 3]),
    seed=st.integers(0, 99),
)
@settings(deadline=None)
def test_totals_are_the_sums(
    grid: Grid, outputs: int, inputs: int, in_bits: int, in_signed: bool, radix: int, seed: int
) -> None:
    weights = weights_of(grid, outputs, inputs, seed)
    made = hardwire(weights, in_bits, in_signed, radix)
    rng = np.random.default_rng(seed)
    half = 1 << (in_bits - 1) if in_signed else 0
    vectors = rng.integers(-half, (1 << in_bits) - half, (20, inputs))
    vectors[0], vectors[1] = -half, (1 << in_bits) - half - 1
    totals = totals_of(made, vectors)
    assert np.array_equal(totals, vectors @ weights.T + made.offsets)
    assert 0 <= totals.min() <= totals.max() <= made.most < (1 << (made.total_bits - 1)) - 1
    # a bit is read in the cycle that its readers are in: one later than theirs, and totals all in the last
    born = {NUMBERS: 0} | {node.net: 1 for node in made.nodes if isinstance(node, Tables)}
    for node in made.nodes:
        if not isinstance(node, Tables):
            read = [
                bit
                for number in (node.numbers if isinstance(node, Adder) else [node.bits])
                for bit in number
                if bit.net
            ]
            (cycle,) = {born[bit.net] + bit.delay for bit in read}
            assert not isinstance(node, Adder) or not node.carry.net or born[node.carry.net] == cycle + 1
            born[node.net] = cycle + 1
    assert {born[bit.net] + bit.delay for bits in made.totals for bit in bits if bit.net} <= {made.latency}


def test_sharing_pays() -> None:
    weights = weights_of(Grid.odd(2), 64, 36, 0)
    assert hardwire(weights, 2, False, 3).cost.lut <= 1.4 * weights.size
    assert hardwire(weights_of(Grid.unsigned(2), 64, 36, 0).clip(0, 2), 2, False, 3).cost.lut <= weights.size


@pytest.mark.parametrize("target", ["xc7", "ecp5", "gowin"])
def test_adders_equal_the_form_that_simulates_fast(target: str, tmp_path: Path) -> None:
    assert _differing(target, tmp_path, CELLS.read_text(), KINDS) == [0] * len(KINDS)


def test_a_difference_would_be_seen(tmp_path: Path) -> None:
    broken = CELLS.read_text().replace("wire c4 = S[3] ? c3 : DI[3];", "wire c4 = DI[3];")
    assert _differing("xc7", tmp_path, broken, KINDS[:1], 2000)[0] > 0


def _differing(
    target: str, folder: Path, cells: str, kinds: list[tuple[Grid, int, bool, int, int]], count: int = 10_000
) -> list[int]:
    """How many of `count` vectors each kind's two forms differ in."""
    for part in ("rtl", "sim", "memory"):
        (folder / part).mkdir()
    for path in RTL.iterdir():
        (folder / "rtl" / path.name).write_bytes(path.read_bytes())
    (folder / "sim" / "cells.sv").write_text(cells)
    width = max(bits * inputs for _, bits, _, _, inputs in kinds)
    lines = [
        "module top #(parameter BEHAVIOURAL = 0) (",
        f"input logic clk, input logic rst, input logic [{width - 1}:0] s_data, input logic s_valid, output logic s_ready,",
        f"output logic [{len(kinds) - 1}:0] m0_data, output logic m0_valid, input logic m0_ready);",
        "assign s_ready = 1'b1; assign m0_valid = s_valid; logic [4:0] age;",
        "always_ff @(posedge clk) age <= rst ? 0 : age == 31 ? 31 : age + 1;",  # until the pipelines are full
    ]
    for place, (grid, bits, signed, outputs, inputs) in enumerate(kinds):
        products = Products(weights_of(grid, outputs, inputs, place), bits, signed)
        made, name = products.hardwired(target), f"k{place}_sums"
        (folder / "rtl" / f"{name}.sv").write_text(sums_module(name, made, products, target))
        memory = weight_words(products.stored, outputs, inputs, products.weight_bits)
        (folder / "memory" / f"k{place}.hex").write_text(f"{memory.words[0]:x}\n")
        lines.append(f"wire [{outputs * made.total_bits - 1}:0] x{place}, y{place};")
        lines.append(f"assign m0_data[{place}] = age == 31 && x{place} != y{place};")
        for wire, body in (("x", 0), ("y", 1)):
            lines.append(
                f'{name} #(.WEIGHTS("memory/k{place}.hex"), .BEHAVIOURAL({body})) u_{wire}{place} (.clk(clk),'
                f".numbers(s_data[{inputs * bits - 1}:0]), .totals({wire}{place}));"
            )
    (folder / "rtl" / "top.sv").write_text("\n".join([*lines, "endmodule", ""]))
    source = Stream("s", (1, 1, width), 1, False, width)
    result = Stream("m0", (1, 1, len(kinds)), 1, False, len(kinds))
    bench = Element("bench", "top", {}, {}, {}, cycles=1)
    network = Network("top", [bench], {"s": width, "m0": len(kinds)}, source, {"differs": result}, target)
    beats = np.random.default_rng(0).integers(0, 2, (count, 1, 1, width))
    beats[:20], beats[20:40] = 0, 1
    return [int(n) for n in Simulator(network, folder, structural=True).run(beats).outputs["differs"].sum((0, 1, 2))]


def program_of(kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]) -> Program:
    """A convolution with windows, its step table, and one of single pixels without."""
    rng = np.random.default_rng(0)
    b = Builder()
    x = b.input((7, 9, 3), Grid.unsigned(2))
    y = b.conv(
        x, rng, 8, Grid.odd(2), kernel, stride=stride, pads=(kernel[0] // 2, 1, kernel[0] // 2, 1), dilation=dilation
    )
    z = b.steps(y, rng, Grid.unsigned(2), kind="rising")
    return b.program(b.conv(z, rng, 5, Grid.ternary(), (1, 1)))


def all_hard(program: Program) -> dict[str, Fold]:
    folds = {}
    for node in program.graph:
        if node.op == "conv":
            outputs, *inputs = node.attrs["weights"].shape
            folds[node.name] = Fold(outputs, int(np.prod(inputs)), "hard")
    return folds


@pytest.mark.parametrize(("kernel", "stride", "dilation"), [((3, 3), (1, 1), (1, 1)), ((1, 3), (1, 3), (1, 2))])
def test_a_hard_circuit_is_golden_with_pauses(
    kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int], tmp_path: Path
) -> None:
    program = program_of(kernel, stride, dilation)
    network = lower_program(program, all_hard(program), "xc7")
    simulator = Simulator(network, write_project(network, tmp_path))
    images = random_inputs(program, 5, 1)["image"]
    golden = program.run(images)
    for pauses in ((0.0, 0.0), (0.4, 0.4)):
        for name, array in simulator.run(images, pauses=pauses).outputs.items():
            assert np.array_equal(array, golden[name])


def test_only_whole_windows_are_hard_wired() -> None:
    program = program_of((3, 3), (1, 1), (1, 1))
    with pytest.raises(
        FpgaError,
        match=r"^conv0: a hard kernel must take whole windows, 8 outputs and 27 inputs a cycle, not be "
        r"Fold\(pe=4, simd=27, kernel='hard'\); an image that is one window takes another kernel$",
    ):
        lower_program(program, {**all_hard(program), "conv0": Fold(4, 27, "hard")}, "xc7")
