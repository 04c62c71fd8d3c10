# SPDX-License-Identifier: Apache-2.0
"""What a unit runs: layers of one form, and the tensors between them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from bitlens.core.grid import Grid

__all__ = ["Core", "Layer", "Tensor", "View", "code_bits", "identity"]

IntArray = npt.NDArray[np.int64]


@dataclass
class Tensor:
    """A tensor in memory: codes, integers less the smallest of its grid; or sums as they are.

    Args:
        name: in the program.
        shape: (height, width, channels).
        grid: of its integers.
        raw: sums, two's complement.
        planes: digits of 2 bits of a code; sums have those of the accumulator.
    """

    name: str
    shape: tuple[int, int, int]
    grid: Grid
    raw: bool = False
    planes: int = 0

    def __post_init__(self) -> None:
        if not self.raw:
            self.planes = -(-code_bits(self.grid) // 2)


def code_bits(grid: Grid) -> int:
    """Bits of a code of a grid, counted from its smallest integer in steps of 1."""
    return max(1, int(grid.hi - grid.lo).bit_length())


@dataclass(frozen=True)
class View:
    """A tensor as a layer reads it.

    Args:
        tensor: name.
        height, width, channels: the top left part of it.
        up: pixels from one to the next, powers of two.
        repeats: a pixel fills the rows and columns up to the next; else zeros.
    """

    tensor: str
    height: int
    width: int
    channels: int
    up: tuple[int, int] = (1, 1)
    repeats: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of what is seen."""
        return self.height * self.up[0], self.width * self.up[1]


@dataclass(frozen=True)
class Core:
    """Sums over windows, before they are requantized.

    Args:
        name, op: of the node.
        views: one or two, of one size, their channels one behind the other.
        weights: (O, kh, kw, C); diagonal: (C, kh, kw, views), of the same channel of each view.
        bias: (O,).
        diagonal: output channels depend on input channels of their own number alone.
        stride, dilation: of the window.
        pads: top and left.
        out: height and width.
        grid: of the sums.
        macs: products of the node itself.
    """

    name: str
    op: str
    views: tuple[View, ...]
    weights: IntArray
    bias: IntArray
    diagonal: bool
    stride: tuple[int, int]
    dilation: tuple[int, int]
    pads: tuple[int, int]
    out: tuple[int, int]
    grid: Grid
    macs: int = 0


@dataclass(frozen=True)
class Layer:
    """A core, a requantization and a pool.

    Args:
        core: the sums.
        result: name of the tensor that is written.
        thresholds: (O, 2^bits - 1): sums from which on a code is reached; None: sums go out.
        falls: (O,), whether codes count down from 2^bits - 1.
        pool, pool_stride: of the max pool behind; (1, 1) for none.
        nodes: names of the program's nodes that it does.
    """

    core: Core
    result: str
    thresholds: IntArray | None
    falls: npt.NDArray[np.bool_]
    pool: tuple[int, int] = (1, 1)
    pool_stride: tuple[int, int] = (1, 1)
    nodes: tuple[str, ...] = field(default=())

    @property
    def bits(self) -> int:
        """Of a code; 0 for sums."""
        return 0 if self.thresholds is None else (self.thresholds.shape[1] + 1).bit_length() - 1

    @property
    def out(self) -> tuple[int, int]:
        """Height and width of the result."""
        height, width = (
            (size - kernel) // stride + 1
            for size, kernel, stride in zip(self.core.out, self.pool, self.pool_stride, strict=True)
        )
        return height, width

    def pooled(self, kernel: tuple[int, int], stride: tuple[int, int], result: str, node: str) -> Layer:
        """The same with a max pool behind."""
        return replace(self, pool=kernel, pool_stride=stride, result=result, nodes=(*self.nodes, node))


def identity(name: str, op: str, views: tuple[View, ...], grid: Grid, kernel: tuple[int, int] = (1, 1)) -> Core:
    """Sums of all views and of all taps of a kernel, channel by channel: weights are 1."""
    channels, size = views[0].channels, views[0].size
    weights = np.ones((channels, *kernel, len(views)), np.int64)
    return Core(name, op, views, weights, np.zeros(channels, np.int64), True, (1, 1), (1, 1), (0, 0), size, grid)
