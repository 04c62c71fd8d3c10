# SPDX-License-Identifier: Apache-2.0
"""The circuit that the rules build: `wiring.py` brings the streams, every layer runs at its own folding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.core.grid import Grid
from bitlens.fpga.folding import Fold
from bitlens.fpga.network import Element, FpgaError, Stream
from bitlens.fpga.products import Products
from bitlens.fpga.wiring import Wiring
from bitlens.graph.graph import Graph, Node

__all__ = ["MOST_COMPARED", "Circuit"]

MOST_COMPARED = 15  # breakpoints of a step table that are compared at once; more are searched by halves


class Circuit(Wiring):
    """A circuit while it is built.

    Args:
        graph: of the program.
        folding: PE output channels and SIMD input channels a cycle, by the name of every conv; for other layers PE is the
            channels a cycle.
        target: family of devices.
        products: how layers multiply, by their names; circuits of one graph may share it.
    """

    def __init__(
        self,
        graph: Graph,
        folding: Mapping[str, Fold],
        target: str,
        products: dict[tuple[str, int, bool, str], tuple[Products, tuple[int, int]]] | None = None,
    ) -> None:
        super().__init__(graph)
        self.folding, self.target = folding, target
        self._products = {} if products is None else products
        self.taken: set[str] = set()  # results of ops that end an earlier element

    def grid(self, tensor: str) -> Grid:
        """The grid of a tensor."""
        grid = self.graph.value(tensor).grid
        assert grid is not None
        return grid

    def products(
        self, node: Node, weights: npt.NDArray[Any], stream: Stream, order: str = ""
    ) -> tuple[Products, tuple[int, int]]:
        """How a convolution of dense weights (O, ...) multiplies what a stream brings, and bounds of its sums.

        Args:
            order: name of the order of the weights' last axes.
        """
        key = (node.name, stream.bits, stream.signed, order)
        if key not in self._products:
            grid = self.grid(node.inputs[0])
            products = Products(weights.reshape(len(weights), -1).astype(np.int64), stream.bits, stream.signed)
            bounds = products.range(min(grid.lo, 0), max(grid.hi, 0))  # 0 stands outside the image
            self._products[key] = products, bounds
        return self._products[key]

    def channels(self, tensor: str) -> int:
        """The channels of a tensor."""
        (*_, channels) = self.graph.value(tensor).shape or (None,)
        assert channels is not None
        return channels

    def source(self, node: Node) -> Stream:
        """The first input of a layer that is no dense convolution, on the lanes its fold asks for, else as it comes.

        Raises:
            FpgaError: the lanes do not divide the channels.
        """
        stream, fold = self.read(node.inputs[0]), self.folding.get(node.name)
        if fold is None:
            return stream
        if stream.shape[2] % fold.pe:
            raise FpgaError(f"{node.name}: fold must divide {stream.shape[2]} channels, not be {fold}")
        return self.to_lanes(stream, fold.pe)

    def join(self, module: str, node: Node, parameters: dict[str, int], a: Stream, b: Stream, result: Stream) -> Stream:
        """Add an element of two inputs; `result` says everything but the wire."""
        wire = self.fresh(f"{node.name}_{module}")
        self.wires[wire] = result.width
        cycles = max(a.beats, b.beats, result.beats)
        ports = {"a": a.wire, "b": b.wire}
        self.elements.append(Element(wire, module, parameters, ports, {"out": wire}, layer=node.name, cycles=cycles))
        return Stream(wire, result.shape, result.bits, result.signed, result.lanes)

    def fused_steps(self, node: Node) -> Node | None:
        """The small step table that alone reads a node's result."""
        readers = self.graph.consumers(node.output)
        alone = len(readers) == 1 and node.output not in self.graph.outputs
        if alone and readers[0].op == "steps" and readers[0].attrs["breakpoints"].shape[1] <= MOST_COMPARED:
            return readers[0]
        return None
