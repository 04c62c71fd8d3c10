# SPDX-License-Identifier: Apache-2.0
"""Programs that together have every op in every form that circuits know."""

from __future__ import annotations

import numpy as np

from bitlens.core.grid import Grid
from bitlens.core.steps import NEVER
from bitlens.graph.file import Program
from bitlens.graph.ops import window_attrs
from programs import Builder

__all__ = ["branches", "orders"]


def branches() -> Program:
    """Forks, joins, strides, dilation, pools, depthwise, both ways of upsampling, biases, signed and unsigned grids."""
    rng = np.random.default_rng(0)
    b = Builder()
    x = b.input((7, 6, 4), Grid.unsigned(2))
    y = b.conv(x, rng, 6, Grid.odd(2), (3, 3), pads=(1, 1, 1, 1), bias=True)
    y = b.steps(y, rng, Grid.unsigned(2), kind="rising")
    z = b.conv(y, rng, 6, Grid.narrow(4), (3, 3), pads=(1, 1, 1, 1), groups=6)
    z = b.steps(z, rng, Grid.signed(4), kind="rising")
    w = b.steps(b.conv(x, rng, 6, Grid.odd(1), (1, 1)), rng, Grid.signed(4), kind="any")
    s = b.steps(b.op("add", z, w), rng, Grid.unsigned(3), rows=1)
    d = b.op("max_pool", s, **window_attrs((3, 2), stride=(2, 2), pads=(1, 0, 1, 0)))
    u = b.op("upsample", d, factor=(2, 2), repeat=0, pads=(1, 0, -1, 1))
    v = b.op("upsample", u, factor=(1, 2), repeat=1, pads=(0, -1, 0, 0))
    e = b.op("sum_pool", s, **window_attrs((2, 2), stride=(2, 2), pads=(0, 0, 1, 0)))
    c = b.op("concat", d, b.steps(e, rng, Grid.signed(3), kind="any"))
    first = b.conv(c, rng, 5, Grid.narrow(8), (2, 2), bias=True)
    second = b.conv(v, rng, 3, Grid.ternary(), (3, 3), stride=(2, 1), dilation=(1, 2), pads=(0, 1, 2, 0))
    second = b.rescale(second, rng, Grid.signed(8))
    return b.program(first, second)


def orders() -> Program:
    """Selections, depth to space, gates, lookups, groups, filters of one channel."""
    rng = np.random.default_rng(0)
    b = Builder()
    x = b.input((4, 5, 8), Grid.unsigned(2))
    s = b.op("select", x, channels=np.array([4, 5, 6, 7, 0, 1, 4, 5]))
    y = b.steps(b.conv(s, rng, 12, Grid.odd(1), (3, 3), pads=(1, 1, 1, 1), groups=4, bias=True), rng, Grid.unsigned(2))
    gate = b.steps(b.op("sum_pool", y, **window_attrs((4, 5))), rng, Grid.signed(3), kind="any")
    z = b.op("multiply", y, b.conv(gate, rng, 12, Grid.ternary()))
    z = b.steps(b.conv(z, rng, 12, Grid.narrow(3), groups=3), rng, Grid.unsigned(2))
    d = b.op("depth_to_space", z, block=2)
    row = b.lookup(b.op("select", d, channels=np.array([2])), rng, 6, Grid.signed(4))
    never = {"breakpoints": np.array([[3, 8, NEVER]]), "values": np.array([[0, 1, 2, 3]])}  # rows hold -8 to 7
    t = b.op("steps", row, grid=Grid.unsigned(2), **never)
    u = b.op("steps", d, grid=Grid.unsigned(2), breakpoints=np.array([[2, NEVER]]), values=np.array([[0, 1, 2]]))
    e = b.op(
        "concat",
        d,
        row,
        t,
        u,
        b.op("steps", u, grid=Grid.unsigned(2), breakpoints=np.zeros((1, 0), np.int64), values=np.array([[3]])),
    )
    return b.program(
        b.conv(e, rng, 7, Grid.narrow(4), (2, 2), stride=(2, 2)),
        b.conv(b.op("select", x, channels=np.array([7, 3])), rng, 4, Grid.odd(2), groups=2),
    )
