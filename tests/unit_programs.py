# SPDX-License-Identifier: Apache-2.0
"""Integer programs of the form that an execution unit runs, at random."""

from __future__ import annotations

import numpy as np

from bitlens.core.grid import Grid
from bitlens.graph.file import Program
from bitlens.graph.ops import window_attrs
from programs import Builder

__all__ = ["all_ways", "small_unit_program", "unit_program"]

_WEIGHTS = [*map(Grid.odd, (1, 2, 3)), Grid.ternary(), *map(Grid.narrow, (2, 4, 8)), Grid.signed(3), Grid.span(2, 6)]
_CODES = [*map(Grid.unsigned, (1, 2, 2, 3, 4, 8)), Grid.signed(3), Grid.signed(8), Grid.bipolar()]


def _zero(b: Builder, x: str) -> bool:
    grid = b.graph.value(x).grid
    assert grid is not None
    return grid.lo <= 0


def _shape(b: Builder, x: str) -> tuple[int, int, int]:
    height, width, channels = b.graph.value(x).shape or (None, None, None)
    assert height is not None
    assert width is not None
    assert channels is not None
    return height, width, channels


def _requantized(b: Builder, rng: np.random.Generator, y: str, grid: Grid) -> str:
    kind = rng.integers(3)
    if kind == 2 and grid.step == 1:
        return b.rescale(y, rng, grid)
    return b.steps(y, rng, grid, kind="rising" if kind else "falling")


def _layer(b: Builder, rng: np.random.Generator, x: str) -> str:
    height, width, channels = _shape(b, x)
    kind = rng.integers(8)
    kernel = (int(rng.integers(1, min(4, height + 1))), int(rng.integers(1, min(4, width + 1))))
    stride = (int(rng.integers(1, 3)), int(rng.integers(1, 3)))
    pad = (int(rng.integers(0, kernel[0])), int(rng.integers(0, kernel[1]))) if _zero(b, x) else (0, 0)
    code = _CODES[int(rng.integers(len(_CODES)))]
    weights = _WEIGHTS[int(rng.integers(len(_WEIGHTS)))]
    if kind == 0 and min(height, width) > 1:
        return b.op("max_pool", x, **window_attrs(kernel, stride))
    if kind == 1:
        return _requantized(b, rng, b.op("sum_pool", x, **window_attrs(kernel, stride, (*pad, *pad))), code)
    if kind == 2 and height * width < 40 and _zero(b, x):
        factor = (int(rng.choice([1, 2])), int(rng.choice([2, 4])))
        x = b.op("upsample", x, factor=factor, repeat=int(rng.integers(2)), pads=(0, 0, 0, 0))
    if kind == 3:
        sides = [
            _requantized(b, rng, b.conv(x, rng, int(rng.integers(1, 11)), weights), Grid.unsigned(bits))
            for bits in (2, 4)
        ]
        x = b.op("concat", *sides)
        channels = _shape(b, x)[2]
    if kind == 4:
        grid = Grid.signed(int(rng.choice([4, 8])))
        outs = int(rng.integers(1, 19))
        sides = [_requantized(b, rng, b.conv(x, rng, outs, weights), grid) for _ in range(2)]
        return _requantized(b, rng, b.op("add", *sides), code)
    groups = channels if kind == 5 else 1
    outs = channels if kind == 5 else int(rng.integers(1, 19))
    window = {"stride": stride, "pads": (*pad, *pad)}
    y = _requantized(b, rng, b.conv(x, rng, outs, weights, kernel, groups, bool(rng.integers(2)), **window), code)
    if kind == 6 and min(_shape(b, y)[:2]) > 1:
        y = b.op("max_pool", y, **window_attrs((2, 2), stride=(1 + int(rng.integers(2)), 2)))
    return y


def unit_program(seed: int) -> Program:
    """A random program: convolutions of every form, joins, pools, upsampling, codes of 1 to 8 bits, codes or sums at the end."""
    rng = np.random.default_rng(seed)
    b = Builder()
    shape = (int(rng.integers(1, 12)), int(rng.integers(1, 8)), int(rng.integers(1, 19)))
    x = b.input(shape, _CODES[int(rng.integers(len(_CODES) - 1))])
    for _ in range(int(rng.integers(1, 4))):
        x = _layer(b, rng, x)
    if rng.integers(2):
        x = b.conv(x, rng, int(rng.integers(1, 12)), Grid.narrow(8), (1, 1), bias=True)
    return b.program(x)


def small_unit_program() -> Program:
    """Two layers: an 8-bit first one, a 2-bit last one with sums."""
    rng, b = np.random.default_rng(0), Builder()
    x = b.conv(b.input((6, 5, 3), Grid.unsigned(8)), rng, 6, Grid.narrow(8), (3, 3), pads=(1, 1, 1, 1))
    x = b.steps(x, rng, Grid.unsigned(2), kind="rising")
    return b.program(b.conv(x, rng, 5, Grid.odd(2), (3, 3), pads=(1, 1, 1, 1), bias=True))


def all_ways() -> Program:
    """Every way a layer can read and write in one program; tensors with several readers, several outputs."""
    rng, b = np.random.default_rng(1), Builder()
    x = b.input((8, 6, 9), Grid.signed(4))
    pad = (1, 1, 1, 1)
    y = b.steps(
        b.conv(x, rng, 10, Grid.odd(2), (3, 3), pads=pad), rng, Grid.unsigned(2), kind="falling"
    )  # a code for zero
    half = b.op("max_pool", y, **window_attrs((2, 2), stride=(2, 2)))
    sums = b.conv(half, rng, 10, Grid.odd(2), (3, 3), pads=(2, 2, 2, 2), dilation=(2, 2))
    left, right = b.rescale(sums, rng, Grid.signed(8)), b.steps(sums, rng, Grid.signed(8), kind="rising")  # sums twice
    both = b.op("add", left, right)
    z = b.steps(both, rng, Grid.unsigned(2), kind="rising")
    up = b.op("upsample", z, factor=(2, 2), repeat=0, pads=(0, 0, 0, 0))
    joined = b.op("concat", b.op("crop", up, y), y)  # one side enlarged
    w = b.steps(b.conv(joined, rng, 17, Grid.odd(1), (3, 3), pads=pad), rng, Grid.unsigned(4), kind="rising")
    d = b.steps(
        b.conv(w, rng, 17, Grid.ternary(), (3, 3), groups=17, pads=pad, stride=(2, 2)),
        rng,
        Grid.unsigned(2),
        kind="rising",
    )
    pooled = b.op("max_pool", w, **window_attrs((3, 3), stride=(2, 2)))
    total = b.steps(b.op("sum_pool", d, **window_attrs((4, 3))), rng, Grid.unsigned(8), kind="rising")
    return b.program(b.conv(total, rng, 4, Grid.narrow(8), bias=True), pooled, both, up)
