# SPDX-License-Identifier: Apache-2.0
"""Cut a model into integer parts, which compile, and float islands, which run on the host between them.

Products of quantized tensors, and the quantizers behind them, are the engine's. What integers cannot say is the host's, up to
the quantizers it goes into. All else (pools, reshapes, activations in front of a quantizer) is cheap, and is computed
wherever it is read: no real number crosses from the engine to the host, only integers with their unit.

Parts alternate: engine 0, host 0, engine 1, host 1, ...; a part reads parts in front of it alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bitlens.graph.graph import Graph, Node

__all__ = ["PRODUCTS", "QUANTIZERS", "Part", "cut_islands"]

QUANTIZERS = ("Quant", "BipolarQuant", "MultiThreshold", "Trunc")
PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_MEANS = ("AveragePool", "GlobalAveragePool", "ReduceMean")
_MOVES = (
    *("MaxPool", "GlobalMaxPool", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Dropout"),
    *("Resize", "Upsample", "Pad", "Slice", "Split", "Gather", "DepthToSpace", "SpaceToDepth", "ReduceMax"),
)
_AFFINE = ("Mul", "Add", "Sub", "Div", "Neg")  # by constants
_JOINS = ("Add", "Sub", "Mul")  # of two integer tensors
_ACTIVATIONS = ("Abs", "Relu", "LeakyRelu", "PRelu", "Clip", "HardTanh", "HardSigmoid", "Sign", "Sigmoid", "Tanh")

Who = Literal["engine", "host", "either"]
_Held = Literal["integers", "affine", "real", "codes", "shape"]  # affine: integers that constants scale and shift


@dataclass(frozen=True)
class Part:
    """A part of a model.

    Args:
        graph: its operators, at the imported stage. Inputs and outputs are tensors of the model.
        host: whether it is a float island.
        reasons: by the name of a layer of an island, why no integers can say it.
    """

    graph: Graph
    host: bool
    reasons: Mapping[str, str]


@dataclass(frozen=True)
class _State:
    """What a tensor holds, and whether it was made of real values on the host."""

    holds: _Held
    real: bool = False


class _Cut:
    def __init__(self, graph: Graph, forced: Mapping[str, str]) -> None:
        self.graph, self.forced = graph, forced
        self.makers = {tensor: node for node in graph.nodes for tensor in node.outputs}
        self.states: dict[str, _State] = {}
        self.who: dict[str, Who] = {}
        self.reasons: dict[str, str] = {}
        self.levels: dict[str, int] = {}
        for name in graph.inputs:
            held: _Held = "integers" if graph.value(name).grid is not None else "real"
            self.states[name] = _State(held, real=held == "real")
        for node in graph.nodes:
            self._decide(node)
        for node in graph.nodes:
            if self.who[node.name] != "either":
                self.levels[node.outputs[0]] = self._level(node.inputs, self.who[node.name])

    # who computes a node

    def data(self, node: Node) -> list[str]:
        """The computed operands of a node."""
        return [tensor for tensor in node.inputs if tensor and tensor not in self.graph.constants]

    def _decide(self, node: Node) -> None:
        states = [self.states[tensor] for tensor in self.data(node)]
        real = any(state.real for state in states)
        holds, reason = self._result(node, states)
        reason = self.forced.get(node.name, reason)
        quantizes = node.op in QUANTIZERS or (node.op == "DequantizeLinear" and states[0].holds == "codes")
        if reason:
            self.reasons[node.name] = reason
        if real or reason:
            self.who[node.name] = "host"
            self.states[node.outputs[0]] = _State(holds, real=not quantizes)
            return
        self.who[node.name] = "engine" if quantizes or (node.op in PRODUCTS and not self._spreads(node)) else "either"
        self.states[node.outputs[0]] = _State(holds)

    def _result(self, node: Node, states: Sequence[_State]) -> tuple[_Held, str]:
        """What the result holds, and why no integers can say the node; "" where they can, or where its operands are real."""
        first = states[0] if states else _State("shape")
        real = any(state.real for state in states)
        if node.op == "Shape" or all(state.holds == "shape" for state in states):
            return "shape", ""
        if node.op in QUANTIZERS or node.op == "DequantizeLinear":
            return "integers", ""
        if node.op == "QuantizeLinear":
            return "codes", ""
        if node.op in _MOVES:
            return first.holds, ""
        if node.op in PRODUCTS:
            return ("integers", "") if self._spreads(node) else self._product(node, first)
        computed = [state for state in states if state.holds != "shape"]
        if node.op in (*_JOINS, "Concat") and len(computed) == len(node.inputs):
            held: set[_Held] = {state.holds for state in computed}
            if held == {"codes"}:
                return "codes", ""
            if held <= {"integers", "affine"}:
                return "integers", ""  # units that do not fit are found by the passes
            forks = (
                not real and node.op != "Concat" and len(self.cone(node.inputs)[1]) == 1
            )  # x * f(x), which is a table
            return "real", "" if real or forks else "operands must be integers, not real values"
        if node.op in _MEANS:
            if first.holds in ("integers", "affine"):
                return "integers", ""
            return "real", "" if real else "input must be integers, not real values"
        if node.op == "Cast":
            return first.holds, ""
        if node.op == "Clip" and first.holds == "codes":
            return "codes", ""
        if node.op in _AFFINE and len(computed) == 1 and first.holds in ("integers", "affine"):
            return "affine", ""
        if (node.op in (*_AFFINE, *_ACTIVATIONS, "BatchNormalization") and len(computed) == 1) or real:
            return "real", ""
        many = " of computed tensors" if len(computed) > 1 else ""
        return "real", f"operator must have an integer form, not be {node.op}{many}"

    def _product(self, node: Node, x: _State) -> tuple[_Held, str]:
        constants, weight = self.graph.constants, node.inputs[1]
        if node.inputs[0] in constants or any(tensor and tensor not in constants for tensor in node.inputs[1:]):
            return "real", f"weights must be a constant, not computed ({weight})"
        if self.graph.value(weight).grid is None:
            return "real", f"weights must be quantized, not float ({weight})"
        if x.holds not in ("integers", "affine") or x.real:
            return "real", f"input must be integers, not real values ({node.inputs[0]})"
        return "integers", ""

    def _spreads(self, node: Node) -> bool:
        """Whether a transposed convolution only inserts zeros."""
        weight = self.graph.constants.get(node.inputs[1]) if node.op == "ConvTranspose" else None
        if weight is None or self.graph.value(node.inputs[1]).grid is not None or len(node.inputs) > 2:
            return False
        return weight.shape == (node.attrs["group"], 1, 1, 1) and bool((weight == 1).all())

    # where it stands

    def cone(self, tensors: Iterable[str]) -> tuple[set[str], set[str]]:
        """The nodes that either side computes for these tensors, and the tensors that those begin with."""
        nodes: set[str] = set()
        begins: set[str] = set()
        waiting = [tensor for tensor in tensors if tensor]
        while waiting:
            tensor = waiting.pop()
            maker = self.makers.get(tensor)
            if maker is None or self.who[maker.name] != "either":
                if tensor not in self.graph.constants:
                    begins.add(tensor)
            elif maker.name not in nodes:
                nodes.add(maker.name)
                waiting += [other for other in maker.inputs if other]
        return nodes, begins

    def made_by(self, tensor: str) -> Who | None:
        """Who makes a tensor; None for an input of the model."""
        maker = self.makers.get(tensor)
        return None if maker is None else self.who[maker.name]

    def _level(self, tensors: Iterable[str], who: Who) -> int:
        _, begins = self.cone(tensors)
        after = {tensor: who == "engine" and self.made_by(tensor) == "host" for tensor in begins}
        return max((self.levels.get(tensor, 0) + after[tensor] for tensor in begins), default=0)

    def place_output(self, tensor: str) -> tuple[Who, int]:
        """Who gives an output of the model, and at which level."""
        who = self.made_by(tensor)
        if who in ("engine", "host"):
            return who, self.levels[tensor]
        nodes, begins = self.cone([tensor])
        if not any(self.made_by(begin) == "engine" for begin in begins):
            return "host", self._level([tensor], "host")
        for node in reversed(self.graph.nodes):
            if node.name in nodes and node.op in _ACTIVATIONS:
                self.reasons[node.name] = f"output must be a sum with scale and offset, not end in {node.op}"
                return "host", self._level([tensor], "host")
        return "engine", self._level([tensor], "engine")


def cut_islands(graph: Graph, forced: Mapping[str, str]) -> list[Part]:
    """Cut a model.

    Args:
        graph: at the imported stage, with shapes and constants folded. An input with a grid is integers.
        forced: layers that go to the host whatever they look like, and why.

    Returns:
        The parts in order of execution. Of their inputs only the model's own are described.
    """
    cut = _Cut(graph, forced)
    own: dict[tuple[int, bool], set[str]] = {}
    ends: dict[tuple[int, bool], list[str]] = {}
    for node in graph.nodes:
        if cut.who[node.name] != "either":
            own.setdefault((cut.levels[node.outputs[0]], cut.who[node.name] == "host"), set()).add(node.name)
    for tensor in graph.outputs:
        who, level = cut.place_output(tensor)
        ends.setdefault((level, who == "host"), []).append(tensor)
        own.setdefault((level, who == "host"), set())
    members: dict[tuple[int, bool], list[Node]] = {}
    for key, names in own.items():
        read = [tensor for node in graph.nodes if node.name in names for tensor in node.inputs]
        nodes, _ = cut.cone([*read, *ends.get(key, [])])
        members[key] = [node for node in graph.nodes if node.name in names | nodes]
    read_by = {key: _begins(graph, nodes) for key, nodes in members.items()}
    parts = []
    for key in sorted(members):
        made = [node.outputs[0] for node in members[key] if node.name in own[key]]
        wanted = {tensor for other, tensors in read_by.items() if other != key for tensor in tensors}
        outputs = [*dict.fromkeys([*ends.get(key, []), *(tensor for tensor in made if tensor in wanted)])]
        reasons = {node.name: cut.reasons[node.name] for node in members[key] if node.name in cut.reasons}
        parts.append(Part(_part(graph, members[key], read_by[key], outputs), key[1], reasons if key[1] else {}))
    return parts


def _begins(graph: Graph, nodes: Sequence[Node]) -> list[str]:
    """What some nodes read and do not make, in order, constants left out."""
    made = {tensor for node in nodes for tensor in node.outputs}
    read = [tensor for node in nodes for tensor in node.inputs if tensor and tensor not in graph.constants]
    return [*dict.fromkeys(tensor for tensor in read if tensor not in made)]


def _part(graph: Graph, nodes: Sequence[Node], inputs: list[str], outputs: list[str]) -> Graph:
    part = Graph(inputs, outputs, [*nodes], graph.constants, graph.values)
    part = part.copy()
    read = {tensor for node in nodes for tensor in node.inputs}
    part.constants = {name: array for name, array in part.constants.items() if name in read}
    born = read.union(inputs, *(node.outputs for node in nodes))
    part.values = {name: value for name, value in part.values.items() if name in born}
    return part
