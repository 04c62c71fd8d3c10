# SPDX-License-Identifier: Apache-2.0
"""From an integer program to layers of the unit.

Ops that only look (upsample, crop, concat) become part of how the next layer reads; sums (conv, add, sum_pool) wait for the
requantizations that read them, and are made anew for each; a max pool that alone reads a layer's codes becomes its end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bitlens.core.grid import Grid
from bitlens.fpga.lower.conv import dense_weights
from bitlens.fpga.network import FpgaError
from bitlens.fpga.unit.layers import Core, Layer, Tensor, View, code_bits, identity
from bitlens.fpga.unit.requantize import exact_codes, thresholds_of
from bitlens.fpga.wiring import fixed_size
from bitlens.graph.file import Program
from bitlens.graph.graph import Graph, Node

__all__ = ["UnitProgram", "lower_layers"]

_MOST_BITS = 8  # of a code


class UnitProgram:
    """Layers in order, and the tensors they read and write.

    Args:
        graph: of the program.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.layers: list[Layer] = []
        self.tensors: dict[str, Tensor] = {}
        self.outputs: dict[str, View] = {}  # by the name users see
        self._cores: dict[str, Core] = {}
        self._views: dict[str, tuple[View, ...]] = {}  # several: channels one behind the other

    @property
    def input(self) -> str:
        """The tensor that comes in."""
        return self.graph.inputs[0]

    def enter(self) -> None:
        """Let the input come in."""
        if len(self.graph.inputs) != 1:
            raise FpgaError(f"program: must have one input for a unit, not {len(self.graph.inputs)}")
        self._born(Tensor(self.input, *self._described(self.input)))

    def leave(self) -> None:
        """Let the outputs go out: codes where they are, sums as they are."""
        for name in self.graph.outputs:
            if name in self._cores:
                core = self._cores[name]
                if code_bits(core.grid) <= _MOST_BITS:
                    self._views[name] = (self._stored(name),)
                else:
                    tensor = Tensor(name, (*core.out, len(core.weights)), core.grid, raw=True)
                    self._append(Layer(core, name, None, np.zeros(len(core.weights), bool), nodes=(core.name,)), tensor)
            views = self._views[name]
            if len(views) > 1 or views[0].up != (1, 1):
                views = (self._copied(name, views),)
            self.outputs[self.graph.output_names.get(name, name)] = views[0]

    def lower(self, node: Node) -> None:
        """Take one op."""
        rule = _RULES.get(node.op)
        if rule is None:
            raise FpgaError(
                f"{node.name}: op must be one of {', '.join(_RULES)} for a unit, not {node.op}; take --shape stream"
            )
        rule(self, node)

    def _described(self, tensor: str) -> tuple[tuple[int, int, int], Grid]:
        value = self.graph.value(tensor)
        assert value.grid is not None
        return fixed_size(tensor, value.shape), value.grid

    def _born(self, tensor: Tensor) -> View:
        self.tensors[tensor.name] = tensor
        view = View(tensor.name, *tensor.shape)
        self._views[tensor.name] = (view,)
        return view

    def _append(self, layer: Layer, tensor: Tensor) -> View:
        self.layers.append(layer)
        return self._born(tensor)

    def _stored(self, name: str) -> View:
        """Sums of few bits as codes in memory."""
        core = self._cores[name]
        bits = code_bits(core.grid)
        if bits > _MOST_BITS:
            rule = f"requantized to at most {_MOST_BITS} bits for a unit"
            raise FpgaError(f"{core.name}: sums must be {rule}, not have {bits}; take --shape stream")
        channels = len(core.weights)
        thresholds, falls = exact_codes(core.grid, channels)
        tensor = Tensor(name, (*core.out, channels), core.grid)
        return self._append(Layer(core, name, thresholds, falls, nodes=(core.name,)), tensor)

    def _views_of(self, name: str) -> tuple[View, ...]:
        return self._views[name] if name in self._views else (self._stored(name),)

    def _side_by_side(self, node: Node) -> tuple[View, ...]:
        """What a join sees; a layer reads both sides with pixels equally far apart, so enlarged ones are made first."""
        found = [self._views_of(name) for name in node.inputs]
        if len({(view.up, view.repeats) for views in found for view in views}) > 1:
            found = [
                (self._copied(name, views),) if views[0].up != (1, 1) else views
                for name, views in zip(node.inputs, found, strict=True)
            ]
        return tuple(view for views in found for view in views)

    def _copied(self, name: str, views: tuple[View, ...]) -> View:
        """A tensor as it is seen, in memory."""
        shape, grid = self._described(name)
        core = replace(self._identity(name, "copy", views), grid=grid)
        thresholds, falls = exact_codes(grid, shape[2])
        return self._append(Layer(core, name, thresholds, falls, nodes=(name,)), Tensor(name, shape, grid))

    def _identity(self, name: str, op: str, views: tuple[View, ...]) -> Core:
        """The core that gives what is seen as it is."""
        grid = self.tensors[views[0].tensor].grid
        if len(views) == 1:
            return identity(name, op, views, grid)
        channels = sum(view.channels for view in views)
        core = identity(name, op, views[:1], grid)
        weights = np.eye(channels, dtype=np.int64).reshape(channels, 1, 1, channels)
        return replace(core, views=views, weights=weights, bias=np.zeros(channels, np.int64), diagonal=False)

    def conv(self, node: Node) -> None:
        """A convolution; one filter a channel is a diagonal layer."""
        views = self._views_of(node.inputs[0])
        weights, attrs = np.asarray(node.attrs["weights"], np.int64), node.attrs
        shape, grid = self._described(node.output)
        channels = sum(view.channels for view in views)
        diagonal = attrs["groups"] == len(weights) == channels > 1 and len(views) == 1
        macs = shape[0] * shape[1] * weights.size
        weights = weights if diagonal else np.asarray(dense_weights(node), np.int64)
        bias = np.zeros(shape[2], np.int64) if attrs["bias"] is None else np.asarray(attrs["bias"], np.int64)
        window = attrs["stride"], attrs["dilation"], (attrs["pads"][0], attrs["pads"][1])
        self._cores[node.output] = Core(
            node.name, node.op, views, weights, bias, diagonal, *window, (shape[0], shape[1]), grid, macs
        )

    def add(self, node: Node) -> None:
        """A sum: both tensors, concatenated, by two identities side by side."""
        views = self._side_by_side(node)
        _, grid = self._described(node.output)
        if len(views) != 2 or len({view.channels for view in views}) > 1 or len({view.size for view in views}) > 1:
            raise FpgaError(f"{node.name}: add must join two tensors of one size for a unit; take --shape stream")
        self._cores[node.output] = identity(node.name, node.op, views, grid)

    def sum_pool(self, node: Node) -> None:
        """A sum over windows, by weights of 1."""
        views, attrs = self._views_of(node.inputs[0]), node.attrs
        shape, grid = self._described(node.output)
        if len(views) > 1:
            views = (self._copied(node.inputs[0], views),)
        self._cores[node.output] = replace(
            identity(node.name, node.op, views, grid, attrs["kernel"]),
            stride=attrs["stride"],
            dilation=attrs["dilation"],
            pads=(attrs["pads"][0], attrs["pads"][1]),
            out=(shape[0], shape[1]),
        )

    def requantize(self, node: Node) -> None:
        """Step tables and rescales end a layer; behind codes they are a layer by identity."""
        (name,) = node.inputs
        core = self._cores.get(name) or self._identity(node.name, node.op, self._views[name])
        shape, grid = self._described(node.output)
        thresholds, falls = thresholds_of(node, grid, shape[2])
        names = (node.name,) if core.name == node.name else (core.name, node.name)
        self._append(Layer(core, node.output, thresholds, falls, nodes=names), Tensor(node.output, shape, grid))

    def max_pool(self, node: Node) -> None:
        """The end of the layer in front where that is all that reads it, else a layer by identity."""
        (name,) = node.inputs
        attrs = node.attrs
        if any(attrs["pads"]) or attrs["dilation"] != (1, 1):
            raise FpgaError(f"{node.name}: max_pool must have no pads and dilation 1 for a unit; take --shape stream")
        shape, grid = self._described(node.output)
        views = self._views_of(name)
        last = self.layers[-1] if self.layers else None
        alone = len(self.graph.consumers(name)) == 1 and name not in self.graph.outputs
        if (
            last is not None
            and last.result == name
            and last.pool == (1, 1)
            and alone
            and views[0].size == last.core.out
        ):
            self.layers.pop()
            del self.tensors[name], self._views[name]
        else:
            thresholds, falls = exact_codes(grid, shape[2])
            last = Layer(self._identity(node.name, node.op, views), name, thresholds, falls)
        layer = last.pooled(attrs["kernel"], attrs["stride"], node.output, node.name)
        self._append(layer, Tensor(node.output, shape, grid))

    def upsample(self, node: Node) -> None:
        """Pixels further apart, for who reads."""
        views, attrs = self._views_of(node.inputs[0]), node.attrs
        if any(attrs["pads"]) or not set(attrs["factor"]) <= {1, 2, 4} or any(view.up != (1, 1) for view in views):
            raise FpgaError(
                f"{node.name}: upsample must be by 1, 2 or 4 without pads, once, for a unit, not {attrs['factor']}; "
                "take --shape stream"
            )
        up, repeats = (int(attrs["factor"][0]), int(attrs["factor"][1])), bool(attrs["repeat"])
        self._views[node.output] = tuple(replace(view, up=up, repeats=repeats) for view in views)

    def crop(self, node: Node) -> None:
        """The top left part, for who reads; of sums only where nothing is cut."""
        name = node.inputs[0]
        shape, _ = self._described(node.output)
        if name in self._cores and self._cores[name].out == shape[:2]:
            self._cores[node.output] = self._cores[name]
            return
        views = self._views_of(name)
        if any(view.up != (1, 1) for view in views):
            views = (self._copied(name, views),)
        self._views[node.output] = tuple(replace(view, height=shape[0], width=shape[1]) for view in views)

    def concat(self, node: Node) -> None:
        """Two tensors side by side, for who reads."""
        views = self._side_by_side(node)
        tensors = [self.tensors[view.tensor] for view in views]
        if len(views) != 2 or len({tensor.grid.lo for tensor in tensors}) > 1 or len({view.size for view in views}) > 1:
            raise FpgaError(
                f"{node.name}: concat must join two tensors of one size and one smallest integer for a unit, not {len(views)}; "
                "take --shape stream"
            )
        self._views[node.output] = views


_RULES: dict[str, Callable[[UnitProgram, Node], None]] = {
    "conv": UnitProgram.conv,
    "steps": UnitProgram.requantize,
    "rescale": UnitProgram.requantize,
    "add": UnitProgram.add,
    "sum_pool": UnitProgram.sum_pool,
    "max_pool": UnitProgram.max_pool,
    "upsample": UnitProgram.upsample,
    "crop": UnitProgram.crop,
    "concat": UnitProgram.concat,
}


def lower_layers(program: Program) -> UnitProgram:
    """Turn a program into layers.

    Args:
        program: of one input, with fixed sizes.

    Raises:
        FpgaError: an op has no layer; names it, the rule and the remedy.
    """
    lowered = UnitProgram(program.graph)
    lowered.enter()
    for node in program.graph:
        lowered.lower(node)
    lowered.leave()
    return lowered
