# SPDX-License-Identifier: Apache-2.0
"""The one graph type of the compiler, used from the imported ONNX model to the integer program.

A graph is a list of nodes in topological order. Every tensor is named, is born once, and may be described by a
`Value`. Which ops and attributes are legal at which stage is told by `ops.py` and `spec.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.core.grid import Grid

__all__ = ["Graph", "GraphError", "Node", "State", "Value"]

FloatArray = npt.NDArray[np.float32]


class GraphError(ValueError):
    """A graph that breaks a rule; the sentence names the node, the rule and the value."""


@dataclass(frozen=True)
class Value:
    """What is known of a tensor.

    Args:
        name: the tensor's name.
        shape: imported stage: the model's own order, batch first, None where unknown. Integer stage:
            (height, width, channels) without batch; height and width may be None (symbolic).
        grid: the integers it holds; None while it is real.
        scale: real value of one unit, float32, scalar () or one per channel (C,).
        offset: real value of integer 0, float32, scalar () or (C,).
        multiples: of a symbolic height and width of an input.
        rounding: how an input's real values become integers, a name of `core.inputs.ROUNDINGS`.
    """

    name: str
    shape: tuple[int | None, ...] | None = None
    grid: Grid | None = None
    scale: FloatArray = field(default_factory=lambda: np.ones((), np.float32))
    offset: FloatArray = field(default_factory=lambda: np.zeros((), np.float32))
    multiples: tuple[int, int] = (1, 1)
    rounding: str = "NEAREST"

    def with_(self, **changes: Any) -> Value:
        """Return a copy with some fields replaced."""
        return replace(self, **changes)


@dataclass
class Node:
    """One operation.

    Args:
        op: name in the table of `ops.py`.
        name: unique in the graph; errors speak of it.
        inputs: tensor names; "" stands for an optional input left out.
        outputs: tensor names.
        attrs: the op's attributes; arrays are numpy arrays.
    """

    op: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attrs: dict[str, Any] = field(default_factory=dict)

    @property
    def output(self) -> str:
        """The only output."""
        (name,) = self.outputs
        return name


@dataclass(frozen=True)
class State:
    """What a recurrent program carries from step to step: an output that is an input of the next step.

    Args:
        input: name of the input tensor.
        output: the output's name as users see it.
        initial: what the input holds before the first step. Imported stage: real values (), (C), (C, H) or (C, H, W);
            integer stage: integers of the input's grid, () or (H, W, C).
    """

    input: str
    output: str
    initial: npt.NDArray[Any]


@dataclass
class Graph:
    """Nodes in topological order, their constants and what is known of the tensors.

    Args:
        inputs, outputs: tensor names.
        nodes: in topological order.
        constants: arrays by tensor name (imported stage only).
        values: `Value` by tensor name.
        output_names: the name users see for each output tensor (defaults to the tensor's own name).
        metadata: strings that travel into the file: "source", "name", "classes", "tail", "requantized".
        states: pairs of inputs and outputs of a recurrent program.
    """

    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)
    output_names: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    states: list[State] = field(default_factory=list)

    def producer(self, tensor: str) -> Node | None:
        """The node that a tensor is born in; None for inputs and constants."""
        return next((node for node in self.nodes if tensor in node.outputs), None)

    def consumers(self, tensor: str) -> list[Node]:
        """The nodes that read a tensor, in order."""
        return [node for node in self.nodes if tensor in node.inputs]

    def value(self, tensor: str) -> Value:
        """What is known of a tensor; an empty description when nothing is."""
        return self.values.get(tensor, Value(tensor))

    def copy(self) -> Graph:
        """A copy whose nodes and tables may be changed freely; arrays are shared."""
        nodes = [
            replace(node, inputs=[*node.inputs], outputs=[*node.outputs], attrs={**node.attrs}) for node in self.nodes
        ]
        return Graph(
            [*self.inputs],
            [*self.outputs],
            nodes,
            {**self.constants},
            {**self.values},
            {**self.output_names},
            {**self.metadata},
            [*self.states],
        )

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)
