# SPDX-License-Identifier: Apache-2.0
"""Integer programs made at random, for tests of whatever reads, writes or runs them."""

from __future__ import annotations

from typing import Any

import numpy as np

from bitlens.core.grid import Grid
from bitlens.core.steps import NEVER
from bitlens.graph.file import Program
from bitlens.graph.graph import Graph, Node, State, Value
from bitlens.graph.ops import describe_outputs, window_attrs

__all__ = ["WEIGHT_GRIDS", "Builder", "chain_program", "random_inputs", "random_program", "step_program"]


class Builder:
    """Adds ops to a graph one by one; each method returns the new tensor's name."""

    def __init__(self) -> None:
        self.graph = Graph()

    def input(
        self, shape: tuple[int | None, int | None, int], grid: Grid, name: str = "image", scale: float = 1.0
    ) -> str:
        self.graph.inputs.append(name)
        self.graph.values[name] = Value(name, shape, grid, np.float32(scale))
        return name

    def op(self, op: str, *inputs: str, grid: Grid | None = None, **attrs: Any) -> str:
        name = f"{op}{len(self.graph.nodes)}"
        node = Node(op, name, [*inputs], [name], attrs)
        shape, (lo, hi) = describe_outputs(self.graph, node)
        self.graph.values[name] = Value(name, shape, grid or Grid.span(lo, hi))
        self.graph.nodes.append(node)
        return name

    def conv(
        self,
        x: str,
        rng: np.random.Generator,
        out_channels: int,
        weight_grid: Grid,
        kernel: tuple[int, int] = (1, 1),
        groups: int = 1,
        bias: bool = False,
        **window: Any,
    ) -> str:
        channels = (self.graph.value(x).shape or ())[2]
        assert channels is not None
        codes = rng.integers(0, weight_grid.levels, (out_channels, *kernel, channels // groups))
        return self.op(
            "conv",
            x,
            **window_attrs(kernel, **window),
            groups=groups,
            weights=weight_grid.decode(codes).astype(np.int32),
            weight_grid=weight_grid,
            bias=rng.integers(-50, 50, out_channels) if bias else None,
        )

    def steps(self, x: str, rng: np.random.Generator, grid: Grid, *, rows: int | None = None, kind: str = "any") -> str:
        """Step tables to `grid`; kind "rising", "falling" or "any" (non-monotone too)."""
        value = self.graph.value(x)
        assert value.grid is not None
        assert value.shape is not None
        n = rows or value.shape[2] or 1
        count = grid.levels - 1 if kind != "any" else int(rng.integers(0, 2 * grid.levels))
        middle, spread = (value.grid.lo + value.grid.hi) / 2, (value.grid.hi - value.grid.lo) / 12
        around = np.rint(rng.normal(middle, spread, (n, count)))  # where sums of random products lie
        breakpoints = np.sort(np.clip(around, value.grid.lo - 1, value.grid.hi + 1), axis=1)
        codes = np.tile(np.arange(count + 1), (n, 1)) if kind != "any" else rng.integers(0, grid.levels, (n, count + 1))
        if kind == "falling":
            codes = codes[:, ::-1]
        if kind == "any" and count:
            breakpoints[0, -1] = NEVER
        return self.op("steps", x, grid=grid, breakpoints=breakpoints.astype(np.int64), values=grid.decode(codes))

    def rescale(self, x: str, rng: np.random.Generator, grid: Grid) -> str:
        value = self.graph.value(x)
        assert value.grid is not None
        assert value.shape is not None
        n = value.shape[2] or 1
        reach = max(1, abs(value.grid.lo), abs(value.grid.hi))
        shift = np.full(n, 20)
        multiplier = np.rint(rng.uniform(0.3, 1.5, n) * grid.levels / reach * (1 << 20)).astype(np.int64)
        addend = rng.integers(0, 1 << 21, n)
        return self.op(
            "rescale", x, grid=grid, multiplier=multiplier, addend=addend, shift=shift, lo=grid.lo, hi=grid.hi
        )

    def lookup(self, x: str, rng: np.random.Generator, columns: int, grid: Grid) -> str:
        """A random table with one row for each integer that x may hold; x has 1 channel and no negative integer."""
        value = self.graph.value(x)
        assert value.grid is not None
        table = grid.decode(rng.integers(0, grid.levels, (value.grid.hi + 1, columns)))
        return self.op("lookup", x, table=table.astype(np.int32), table_grid=grid)

    def program(self, *outputs: str) -> Program:
        self.graph.outputs = [*outputs]
        return Program(self.graph)


WEIGHT_GRIDS = [
    *(Grid.odd(bits) for bits in range(1, 9)),
    *(Grid.narrow(bits) for bits in range(2, 9)),
    *(Grid.signed(bits) for bits in range(1, 9)),
]


def step_program() -> Program:
    """A step with two states that looks rows up and multiplies: words, a, b -> scores, a_next, b_next."""
    rng, b = np.random.default_rng(0), Builder()
    words = b.input((1, 1, 1), Grid.span(0, 4), "words")
    first, second = (b.input((1, 1, 6), Grid.unsigned(3), name, 0.5) for name in "ab")
    rows = b.lookup(words, rng, 6, Grid.unsigned(2))
    total = b.op("add", b.op("multiply", rows, first), second)
    scores = b.conv(b.op("concat", first, second), rng, 5, Grid.odd(2))
    states = []
    for name, x, initial in (("a", total, np.asarray(3)), ("b", rows, rng.integers(0, 8, (1, 1, 6)))):
        following = b.steps(x, rng, Grid.unsigned(3), kind="falling" if name == "a" else "any")
        b.graph.values[following] = b.graph.value(following).with_(scale=np.float32(0.5))
        b.graph.output_names[following] = f"{name}_next"
        b.graph.states.append(State(name, f"{name}_next", initial.astype(np.int64)))
        states.append(following)
    b.graph.output_names[scores] = "scores"
    return b.program(states[0], scores, states[1])


def chain_program(seed: int, channels: int = 5, activation_bits: int = 2) -> Program:
    """A small net: 8-bit first layer, two low-bit layers, pooling, a residual add, a linear end."""
    rng = np.random.default_rng(seed)
    b = Builder()
    x = b.input((9, 7, 3), Grid.unsigned(8), scale=1 / 255)
    grid = Grid.unsigned(activation_bits)
    x = b.conv(x, rng, channels, Grid.narrow(8), (3, 3), pads=(1, 1, 1, 1), stride=(1, 1))
    x = b.steps(x, rng, grid, kind="rising")
    y = b.conv(x, rng, channels, Grid.odd(1), (3, 3), pads=(1, 1, 1, 1))
    y = b.steps(y, rng, Grid.signed(8), kind="rising")
    z = b.conv(x, rng, channels, Grid.ternary(), (1, 1))
    z = b.rescale(z, rng, Grid.signed(8))
    x = b.steps(b.op("add", y, z), rng, grid, rows=1)
    x = b.op("max_pool", x, **window_attrs((2, 2), stride=(2, 2)))
    logits = b.conv(x, rng, 10, Grid.narrow(8), (4, 3), bias=True)
    return b.program(logits)


def random_program(seed: int) -> Program:
    """A random legal program: branches, joins, strides, groups, all grids, non-monotone step tables."""
    rng = np.random.default_rng(seed)
    b = Builder()
    grid = Grid.unsigned(int(rng.integers(1, 9)))
    shape = (int(rng.integers(5, 12)), int(rng.integers(5, 12)), int(rng.integers(1, 70)))
    x = b.input(shape, grid)
    for _ in range(int(rng.integers(1, 5))):
        x = _random_layer(b, rng, x)
    return b.program(x)


def _random_layer(b: Builder, rng: np.random.Generator, x: str) -> str:
    height, width, channels = b.graph.value(x).shape or ()
    assert height is not None
    assert width is not None
    assert channels is not None
    grid = b.graph.value(x).grid
    assert grid is not None
    kind = rng.integers(0, 9)
    kernel = (int(rng.integers(1, min(4, height + 1))), int(rng.integers(1, min(4, width + 1))))
    pad = (int(rng.integers(0, kernel[0])), int(rng.integers(0, kernel[1])))
    window: dict[str, Any] = {
        "pads": (*pad, *pad),
        "stride": (int(rng.integers(1, 3)), int(rng.integers(1, 3))),
    }
    target = Grid.unsigned(int(rng.choice([1, 2, 2, 3, 4, 8])))
    weight_grid = WEIGHT_GRIDS[int(rng.integers(len(WEIGHT_GRIDS)))]
    if kind <= 3:
        groups = channels if kind == 3 else 1
        outs = channels if kind == 3 else int(rng.integers(1, 70))
        y = b.conv(x, rng, outs, weight_grid, kernel, groups=groups, bias=bool(rng.integers(2)), **window)
        if target.bits == 8 and rng.integers(2):
            return b.rescale(y, rng, target)
        return b.steps(y, rng, target, kind=str(rng.choice(["rising", "falling", "any"])))
    if kind == 4:
        return b.op("max_pool", x, **window_attrs(kernel, **window))
    if kind == 5:
        return b.steps(b.op("sum_pool", x, **window_attrs(kernel, **window)), rng, target)
    if kind == 8 and channels % 4 == 0:
        return b.op("depth_to_space", x, block=2)
    if kind == 8:
        return b.op("select", x, channels=rng.integers(0, channels, int(rng.integers(1, 70))))
    if kind == 7 and height * width < 200:
        if grid.lo <= 0:
            x, y = b.op("upsample", x, factor=(2, 2), repeat=1, pads=(0, 0, -1, 0)), x
            return b.op("crop", x, y)
        return b.op("upsample", x, factor=(2, 1 + kernel[1] % 2), repeat=int(rng.integers(2)), pads=(-1, 0, pad[0], 1))
    branches = [b.steps(b.conv(x, rng, 6, weight_grid), rng, Grid.signed(8)) for _ in range(2)]
    return b.steps(b.op("add" if rng.integers(2) else "concat", *branches), rng, target)


def random_inputs(program: Program, count: int, seed: int, size: tuple[int, int] = (8, 8)) -> dict[str, np.ndarray]:
    """Integers of each input's grid, (count, H, W, C)."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for name in program.graph.inputs:
        value = program.graph.value(name)
        assert value.grid is not None
        height, width, channels = value.shape or ()
        shape = (count, height or size[0], width or size[1], channels)
        arrays[name] = value.grid.decode(rng.integers(0, value.grid.levels, shape))
    return arrays
