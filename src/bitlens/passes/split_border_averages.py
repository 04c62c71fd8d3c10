# SPDX-License-Identifier: Apache-2.0
"""Turn averages whose divisor is smaller at the border into sums of depthwise convolutions.

`graph.averages` gives each row and column of the result a whole factor, so that one unit serves the whole map. The result is

    sum over row runs r and column runs c of   factor(r) * factor(c) * window sums there

where the first run of each axis is the whole axis with the most common factor, and each further run holds what its few rows
or columns at the border lack or have too much. Each product is a convolution of a piece of the map, put in its place by zeros.

C channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.core.grid import Grid
from bitlens.graph.averages import average_factors
from bitlens.graph.graph import Graph, Node, Value
from bitlens.graph.ops import window_attrs
from bitlens.graph.rewrite import fresh_node, fresh_tensor, replace_tensor
from bitlens.graph.spec import CompileError

__all__ = ["split_border_averages"]

_LARGEST_FACTOR = 127  # an 8-bit weight


@dataclass(frozen=True)
class _Run:
    """Neighbouring rows (columns) first..end of the result, and their factor."""

    first: int
    end: int
    factor: int


def split_border_averages(graph: Graph) -> None:
    """Replace each AveragePool of several divisors.

    Raises:
        CompileError: the map has no fixed size, a window sees padding alone, or the factors leave 8 bits.
    """
    for node in [*graph.nodes]:
        if node.op == "AveragePool" and _may_differ(node.attrs):
            _split(graph, node)


def _may_differ(attrs: dict[str, Any]) -> bool:
    return bool(attrs["ceil_mode"]) or (any(attrs["pads"]) and not attrs["count_include_pad"])


def _split(graph: Graph, node: Node) -> None:
    shape, kernel = graph.value(node.inputs[0]).shape or (), node.attrs["kernel_shape"]
    channels, height, width = shape[1:]
    if channels is None or height is None or width is None:
        raise CompileError(
            f"{node.name}: divisor of AveragePool must be the same everywhere where the size is symbolic, not smaller at "
            "the border; use count_include_pad=1 or no padding, or export with a fixed size"
        )
    try:
        (rows, row_multiple), (columns, column_multiple) = average_factors(node.attrs, (height, width), kernel)
    except ValueError as error:
        raise CompileError(f"{node.name}: {error}; use less padding") from error
    multiple = row_multiple * column_multiple
    if multiple == kernel[0] * kernel[1] and np.all(rows == 1) and np.all(columns == 1):
        node.attrs["count_include_pad"] = 1  # no window is cut
        node.attrs["ceil_mode"] = 0
        return
    largest = int(rows.max() * columns.max())
    if largest > _LARGEST_FACTOR:
        raise CompileError(
            f"{node.name}: divisors of AveragePool must have factors of at most {_LARGEST_FACTOR} to their common multiple "
            f"{multiple}, not {largest}; use count_include_pad=1 or no padding"
        )
    pieces = _Pieces(graph, node, np.float32(1 / multiple))
    total: str | None = None
    for row in _runs(rows):
        strip: str | None = None
        for column in _runs(columns):
            piece = pieces.sums(row, column)
            piece = pieces.placed(piece, (0, 0), (column.first, len(columns) - column.end))
            strip = piece if strip is None else pieces.add(strip, piece)
        assert strip is not None
        strip = pieces.placed(strip, (row.first, len(rows) - row.end), (0, 0))
        total = strip if total is None else pieces.add(total, strip)
    assert total is not None
    pieces.finish(total)


def _runs(factors: npt.NDArray[np.int64]) -> list[_Run]:
    common = int(np.bincount(factors).argmax())
    ends = [*(np.flatnonzero(np.diff(factors)) + 1), len(factors)]
    parts = [
        _Run(int(first), int(end), int(factors[first]) - common) for first, end in zip([0, *ends], ends, strict=False)
    ]
    return [_Run(0, len(factors), common), *(part for part in parts if part.factor)]


class _Pieces:
    """Puts nodes in front of the pool, one after the other; each method returns the new tensor's name."""

    def __init__(self, graph: Graph, node: Node, unit: np.float32) -> None:
        self.graph, self.node, self.unit = graph, node, unit

    def sums(self, row: _Run, column: _Run) -> str:
        """Window sums of some rows and columns of the result, times their factors."""
        graph, attrs = self.graph, self.node.attrs
        shape = graph.value(self.node.inputs[0]).shape or ()
        cuts, pads = [], []
        for axis, run in enumerate((row, column)):
            kernel, stride, dilation = (attrs[name][axis] for name in ("kernel_shape", "strides", "dilations"))
            start = run.first * stride - attrs["pads"][axis]  # the first and the last pixel that is looked at
            stop = (run.end - 1) * stride - attrs["pads"][axis] + dilation * (kernel - 1) + 1
            size = shape[axis + 2] or 0
            first, last = max(start, 0), min(stop, size)
            cuts.append((-first, last - size))
            pads.append((first - start, stop - last))
        source = self.placed(self.node.inputs[0], *cuts)
        factor, channels = row.factor * column.factor, shape[1] or 0
        kernel = attrs["kernel_shape"]
        bits = max(2, 1 + abs(factor).bit_length())
        conv = window_attrs(
            kernel, attrs["strides"], (pads[0][0], pads[1][0], pads[0][1], pads[1][1]), attrs["dilations"]
        )
        conv |= {
            "groups": channels,
            "weights": np.full((channels, 1, *kernel), factor),
            "bias": None,
            "real_bias": None,
        }
        conv |= {"weight_grid": Grid.narrow(bits), "weight_scale": np.asarray(self.unit)}
        return self._insert("conv", [source], (*shape[:2], row.end - row.first, column.end - column.first), conv)

    def placed(self, x: str, rows: tuple[int, int], columns: tuple[int, int]) -> str:
        """Zeros before and behind; negative numbers cut."""
        if not any((*rows, *columns)):
            return x
        *front, height, width = self.graph.value(x).shape or ()
        attrs = {"factor": (1, 1), "repeat": 1, "pads": (rows[0], columns[0], rows[1], columns[1])}
        shape = (*front, (height or 0) + sum(rows), (width or 0) + sum(columns))
        return self._insert("upsample", [x], shape, attrs)

    def add(self, a: str, b: str) -> str:
        """The sum of two maps."""
        return self._insert("add", [a, b], self.graph.value(a).shape or (), {})

    def finish(self, total: str) -> None:
        """Let the last node take the pool's place."""
        last = self.graph.producer(total)
        assert last is not None
        self.graph.nodes = [other for other in self.graph.nodes if other is not self.node]
        last.name, result = self.node.name, self.node.outputs[0]
        replace_tensor(self.graph, total, result)
        last.outputs = [result]

    def _insert(self, op: str, inputs: list[str], shape: tuple[int | None, ...], attrs: dict[str, Any]) -> str:
        tensor = fresh_tensor(self.graph, f"{self.node.outputs[0]}.{op}")
        self.graph.values[tensor] = Value(tensor, shape)
        node = Node(op, fresh_node(self.graph, f"{self.node.name}.{op}"), inputs, [tensor], attrs)
        self.graph.nodes.insert(self.graph.nodes.index(self.node), node)
        return tensor
