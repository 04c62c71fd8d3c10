# SPDX-License-Identifier: Apache-2.0
"""The search beside brute force over all folds."""

from dataclasses import replace
from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlens.core.grid import Grid
from bitlens.fpga.cost import Cost, total_cost
from bitlens.fpga.devices import load_device
from bitlens.fpga.estimate import element_cost
from bitlens.fpga.folding import KERNELS, Fold
from bitlens.fpga.lower import lower_program
from bitlens.fpga.lower.conv import dense_shape, is_dense
from bitlens.fpga.lower.windows import has_windows
from bitlens.fpga.network import Network
from bitlens.fpga.search import Search
from bitlens.graph.file import Program
from bitlens.graph.ops import window_attrs
from programs import Builder

DEVICE = load_device("xc7z020")


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """One or two convolutions, with a pool or a sum of two branches between them."""
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    size, channels = draw(st.sampled_from([3, 4])), draw(st.sampled_from([1, 2, 3, 4]))
    b = Builder()
    x = b.input((size, size, channels), Grid.unsigned(2))
    outputs = draw(st.sampled_from([1, 2, 4]))
    groups = draw(st.sampled_from([1, 2])) if channels % 2 == outputs % 2 == 0 else 1
    first = b.conv(x, rng, outputs, Grid.odd(1), (1, 1), groups=groups)
    y = b.steps(first, rng, Grid.unsigned(2), kind="rising")
    between = draw(st.sampled_from(["nothing", "pool", "sum"]))
    if between == "pool":
        y = b.op("max_pool", y, **window_attrs((2, 2), stride=(1, 1), pads=(0, 0, 0, 0)))
    if between == "sum":
        z = b.steps(b.conv(x, rng, outputs, Grid.odd(1), (1, 1)), rng, Grid.unsigned(2), kind="rising")
        return b.program(b.op("add", y, z))
    kernel = draw(st.sampled_from([(1, 1), (2, 2)]))
    return b.program(b.conv(y, rng, draw(st.sampled_from([1, 3])), Grid.odd(1), kernel))


def all_foldings(program: Program, kernels: tuple[str, ...] = ("fold",)) -> list[dict[str, Fold]]:
    """Every fold of every convolution and pool, for kernels without constants."""
    choices = []
    for node in program.graph:
        if is_dense(node):
            outputs, high, _, depth = dense_shape(node)
            several = [lanes for lanes in range(1, depth + 1) if depth % lanes == 0]
            if has_windows(node, *program.graph.value(node.inputs[0]).shape[:2]):
                several += [high * lanes for lanes in several if depth % (high * lanes)]
            every = [(pe, simd) for pe in range(1, outputs + 1) if outputs % pe == 0 for simd in several]
            choices.append([(node.name, Fold(pe, simd, kernel)) for pe, simd in every for kernel in kernels])
        elif node.op in ("conv", "max_pool", "add"):
            channels = program.graph.value(node.inputs[0]).shape[2]
            choices.append(
                [None, *((node.name, Fold(lanes)) for lanes in range(1, channels + 1) if channels % lanes == 0)]
            )
    return [dict(choice for choice in several if choice is not None) for several in product(*choices)]


def cost_without_queues(network: Network) -> Cost:
    """As the search counts: queues behind forks are sized in the whole circuit only."""
    forked = {wire for element in network.elements if element.module == "fork2" for wire in element.outputs.values()}
    queues = [e for e in network.elements if e.module == "fifo" and e.inputs["in"] in forked]
    smallest = [replace(element, parameters={**element.parameters, "DEPTH": 2}) for element in queues]
    others = [element for element in network.elements if element not in queues]
    return total_cost(element_cost(element, DEVICE) for element in others + smallest)


@given(
    programs(), st.sampled_from([("fold",), ("fold", "lutrom")]), st.floats(0.0, 1.0), st.sampled_from([0.5, 1, 2, 99])
)
@settings(max_examples=25, deadline=None)
def test_no_fold_is_better(program: Program, kernels: tuple[str, ...], place: float, blocks: float) -> None:
    every = []
    for folding in all_foldings(program, kernels):
        network = lower_program(program, folding)
        every.append((network.bottleneck.cycles, cost_without_queues(network)))
    smallest, largest = (pick(cost.lut for _, cost in every) for pick in (min, max))
    most = replace(DEVICE.cells, lut=int(smallest + place * (largest - smallest)), bram=blocks)
    fitting = [(cycles, cost) for cycles, cost in every if cost.fits(most)]
    search = Search(program, DEVICE, "generic", kernels)
    pace, choice = search.fastest(most)
    assert (choice is None) == (not fitting)
    if choice is None:
        return
    network = lower_program(program, choice.folding)
    assert network.bottleneck.cycles <= min(cycles for cycles, _ in fitting)
    assert cost_without_queues(network) == choice.cost
    assert choice.cost.fits(most)
    assert all(choice.cost.lut <= cost.lut for cycles, cost in fitting if cycles <= pace)


def test_nothing_is_faster_than_its_widest_layer() -> None:
    rng = np.random.default_rng(0)
    b = Builder()
    program = b.program(b.conv(b.input((4, 4, 2), Grid.unsigned(2)), rng, 4, Grid.odd(1), (1, 1)))
    search = Search(program, DEVICE, "generic")
    assert search.least(15) is None
    found = search.least(16)
    assert found is not None
    assert found.folding == {"conv0": Fold(4, 2)}


def test_constants_are_for_a_pixel_a_cycle() -> None:
    rng = np.random.default_rng(0)
    b = Builder()
    x = b.input((9, 10, 2), Grid.unsigned(2))
    y = b.steps(b.conv(x, rng, 8, Grid.odd(2), (3, 3)), rng, Grid.unsigned(2), kind="rising")
    program = b.program(b.conv(y, rng, 4, Grid.odd(2), (1, 1)))
    search = Search(program, DEVICE, "xc7", KERNELS)
    found = search.least(90)  # 9 x 10 pixels in, 7 rows of 10 columns read
    assert found is not None
    assert found.folding["conv0"] == Fold(8, 18, "hard")
    slow = search.least(3 * 7 * 8)
    assert slow is not None
    assert slow.folding["conv0"].kernel != "hard"
    assert Search(program, DEVICE, "xc7", ("fold", "lutrom")).least(90) is None
