# SPDX-License-Identifier: Apache-2.0
"""Random programs that reach every path of the planner: all grids, storages, groups, views, several readers and outputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from bitlens.core.grid import Grid
from bitlens.graph.file import Program
from bitlens.graph.graph import State
from bitlens.graph.ops import window_attrs
from programs import WEIGHT_GRIDS, Builder

__all__ = ["wide_program"]

_ACTIVATIONS = [
    *(Grid.unsigned(bits) for bits in (1, 1, 2, 2, 3, 4, 5, 8, 12, 16)),
    *(Grid.signed(bits) for bits in (2, 3, 8, 9)),
    *(Grid.odd(bits) for bits in (1, 1, 2, 3, 8)),
    Grid.ternary(),
    Grid.span(1, 3),
    Grid.span(-6, -2),
    Grid.span(-200, 55),
    Grid.span(-100, 200),
]


class _Maker:
    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.b = Builder()
        self.tensors: list[str] = []

    def pick(self, items: list[Grid]) -> Grid:
        return items[int(self.rng.integers(len(items)))]

    def shape(self, x: str) -> tuple[int, int, int]:
        height, width, channels = self.b.graph.value(x).shape or (1, 1, 1)
        return height or 1, width or 1, channels or 1

    def grid(self, x: str) -> Grid:
        grid = self.b.graph.value(x).grid
        assert grid is not None
        return grid

    def window(self, x: str, dilate: bool = True) -> dict[str, tuple[int, ...]]:
        height, width, _ = self.shape(x)
        rng = self.rng
        kernel = (int(rng.integers(1, min(4, height) + 1)), int(rng.integers(1, min(4, width) + 1)))
        dilation = tuple(
            int(rng.integers(1, 3)) if dilate and 2 * (k - 1) + 1 <= size else 1
            for k, size in zip(kernel, (height, width), strict=True)
        )
        extent = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
        most = [e if dilate else min(e, s) for e, s in zip(extent, (height, width), strict=True)]
        pads = tuple(int(rng.integers(0, m)) for m in (*most, *most))
        stride = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
        return {"kernel": kernel, "pads": pads, "stride": stride, "dilation": dilation}

    def requantize(self, x: str) -> str:
        """Steps of any kind, or a rescale, to a random grid."""
        grid, rng, reach = self.pick(_ACTIVATIONS), self.rng, self.grid(x)
        if max(-reach.lo, reach.hi) < 64:  # rescale's multipliers would not fit
            return self.b.steps(x, rng, self.pick([g for g in _ACTIVATIONS if g.levels < 40]))
        if grid.step == 1 and grid.bits > 4 and rng.integers(3):
            return self.b.rescale(x, rng, grid)
        if grid.levels > 600:
            return self.b.rescale(x, rng, grid)
        rows = int(rng.integers(2)) or None
        kind = str(rng.choice(["rising", "falling", "any"]))
        return self.b.steps(x, rng, grid, rows=rows, kind=kind if grid.levels < 40 else "rising")

    def conv(self, x: str) -> str:
        channels, rng = self.shape(x)[2], self.rng
        divisors = [d for d in range(1, channels + 1) if channels % d == 0]
        groups = int(rng.choice([1, 1, 1, channels, *divisors]))
        multiple = int(rng.choice([1, 1, 2, 3, 8, 16, 40, 65, 130]))
        outs = channels if groups == channels and rng.integers(2) else groups * max(1, multiple // groups)
        window = self.window(x)
        kernel = window.pop("kernel")
        weights = self.pick([*WEIGHT_GRIDS, Grid.ternary(), Grid.odd(1), Grid.odd(2), Grid.narrow(12), Grid.odd(10)])
        return self.b.conv(x, rng, outs, weights, kernel, groups=groups, bias=bool(rng.integers(2)), **window)

    def upsampling(self, x: str) -> dict[str, Any]:
        rng = self.rng
        factor = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
        most = [min(3, (size * f - 1) // 2) for size, f in zip(self.shape(x)[:2], factor, strict=True)]
        pads = tuple(int(rng.integers(-most[axis], 4)) if rng.integers(2) else 0 for axis in (0, 1, 0, 1))
        return {"factor": factor, "repeat": int(rng.integers(2)), "pads": pads}

    def layer(self) -> None:
        rng = self.rng
        x = self.tensors[int(rng.integers(max(0, len(self.tensors) - 4), len(self.tensors)))]
        kind = int(rng.integers(0, 17))
        if kind <= 4:
            y = self.conv(x)
        elif kind == 5:
            y = self.b.op("max_pool", x, **window_attrs(**self.window(x, dilate=False)))  # type: ignore[arg-type]
        elif kind == 6:
            y = self.b.op("sum_pool", x, **window_attrs(**self.window(x)))  # type: ignore[arg-type]
        elif kind == 7:
            y = self.b.op("add", x, self.requantize(x))
        elif kind == 8:
            others = [t for t in self.tensors if self.shape(t)[:2] == self.shape(x)[:2]]
            y = self.b.op(
                "concat", x, *(others[int(rng.integers(len(others)))] for _ in range(int(rng.integers(1, 4))))
            )
        elif kind == 15:
            small = [t for t in self.tensors if self.shape(t) in (self.shape(x), (1, 1, self.shape(x)[2]))]
            y = self.b.op("multiply", x, small[int(rng.integers(len(small)))])
        elif kind == 16:
            index = self.b.op("select", x, channels=rng.integers(0, self.shape(x)[2], 1))
            grid = Grid.unsigned(int(rng.integers(1, 7)))
            index = (
                self.b.steps(index, rng, grid, kind="rising")
                if self.grid(x).bits < 12
                else self.b.rescale(index, rng, grid)
            )
            y = self.b.lookup(index, rng, int(rng.choice([1, 7, 64, 65])), self.pick(_ACTIVATIONS))
        elif kind == 13:
            channels = self.shape(x)[2]
            y = self.b.op("select", x, channels=rng.integers(0, channels, int(rng.integers(1, 70))))
        elif kind == 14:
            blocks = [block for block in (1, 2, 3) if self.shape(x)[2] % block**2 == 0]
            y = self.b.op("depth_to_space", x, block=int(rng.choice(blocks)))
        elif kind == 12 and np.prod(self.shape(x)) < 3000:
            y = self.b.op("upsample", x, **self.upsampling(x))
            like = self.tensors[int(rng.integers(len(self.tensors)))]
            if all(a >= b for a, b in zip(self.shape(y)[:2], self.shape(like)[:2], strict=True)):
                y = self.b.op("crop", y, like)
        elif kind == 9 and np.prod(self.shape(x)) < 3000:
            y = self.b.op("flatten", x)
        else:
            y = self.requantize(x)
        if self.grid(y).levels > 1 << 16 or rng.integers(4):
            y = self.requantize(y)
        self.tensors.append(y)

    def remember(self, name: str) -> str | None:
        """Let an input be a state, if a tensor of its shape can be put on its grid; returns that output."""
        fits = [tensor for tensor in self.tensors if self.shape(tensor) == self.shape(name)]
        if self.grid(name).levels > 600 or not fits:
            return None
        x, grid, rng = fits[int(self.rng.integers(len(fits)))], self.grid(name), self.rng
        following = self.b.steps(x, rng, grid, kind="any" if grid.levels < 40 else "rising")
        shape = self.shape(name) if rng.integers(2) else ()
        initial = grid.decode(rng.integers(0, grid.levels, shape))
        self.b.graph.states.append(State(name, following, np.asarray(initial, np.int64)))
        return following

    def layer_fits(self) -> bool:
        """Adds a layer, unless its sums would leave 32 bits."""
        try:
            self.layer()
        except ValueError:
            return False
        return True


def wide_program(seed: int) -> Program:
    """A random legal program of up to 9 layers with up to 4 outputs; fewer layers when sums would leave 32 bits.

    Some of two inputs are recurrent: "other" is a state.
    """
    maker = _Maker(seed)
    rng = maker.rng
    channels = int(rng.choice([1, 2, 3, 7, 8, 9, 16, 24, 63, 64, 65, 128]))
    shape = (int(rng.integers(1, 10)), int(rng.integers(1, 10)), channels)
    for name in ["image", "other"][: int(rng.integers(1, 3))]:
        maker.tensors.append(maker.b.input(shape, maker.pick(_ACTIVATIONS), name))
    for _ in range(int(rng.integers(1, 10))):
        if not maker.layer_fits():
            break
    outputs = {maker.tensors[-1], *(str(name) for name in rng.choice(maker.tensors, int(rng.integers(0, 3))))}
    if len(maker.b.graph.inputs) > 1 and rng.integers(2):
        outputs |= {maker.remember("other")} - {None}
    return maker.b.program(*sorted(outputs))
