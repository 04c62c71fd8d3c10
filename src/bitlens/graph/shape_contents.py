# SPDX-License-Identifier: Apache-2.0
"""Arithmetic of shapes inside a model: what vectors of whole numbers hold, such as Shape and Concat in front of a Reshape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from bitlens.graph.graph import Graph, Node

__all__ = ["CONTENT_RULES", "Content", "Known", "Shape", "axis_from_front", "check_numbers"]

_MOST_NUMBERS = 1 << 27  # a 4K picture of 16 channels

Shape = tuple[int | None, ...]
Content = tuple[int | None, ...]


@dataclass
class Known:
    """What is known so far; a rule reads its node's operands through it.

    A content is what a vector of whole numbers holds, None where it is not known before the model runs.
    """

    graph: Graph
    contents: dict[str, Content] = field(default_factory=dict)

    def shape(self, tensor: str) -> Shape:
        """Return a tensor's shape, which must be known."""
        shape = self.graph.value(tensor).shape
        if shape is None:
            raise ValueError(f"the shape of {tensor} must be known")
        return shape

    def content(self, tensor: str) -> Content:
        """Return what a vector holds, which must not depend on the data."""
        if tensor in self.graph.constants:
            return tuple(int(number) for number in self.graph.constants[tensor].reshape(-1))
        if tensor not in self.contents:
            raise ValueError(f"{tensor} must not depend on the data")
        return self.contents[tensor]

    def is_content(self, node: Node) -> bool:
        """Whether a node works on a shape: on what is known, not on data (which it may cut to a known size)."""
        first = node.inputs[0] in self.contents or node.inputs[0] in self.graph.constants
        return first and bool(self.contents.keys() & set(node.inputs))


def check_numbers(sizes: Sequence[int | None]) -> None:
    """Check how many numbers a tensor of these sizes holds, symbolic ones left out.

    Raises:
        ValueError: more than any machine should be asked for.
    """
    numbers = prod(size for size in sizes if size is not None)
    if numbers > _MOST_NUMBERS:
        raise ValueError(
            f"a tensor must have at most {_MOST_NUMBERS} numbers an image, not {numbers}; "
            "use smaller images, or export with a symbolic height and width"
        )


def axis_from_front(axis: int | None, rank: int) -> int:
    """Return an axis counted from the front.

    Raises:
        ValueError: there is no such axis.
    """
    if axis is None or not -rank <= axis < rank:
        raise ValueError(f"axis must be {-rank} to {rank - 1}, not {axis}")
    return axis % rank


def _content_gather(known: Known, node: Node) -> Content:
    content = known.content(node.inputs[0])
    return tuple(content[index or 0] for index in known.content(node.inputs[1]))


def _content_slice(known: Known, node: Node) -> Content:
    (start,), (end,) = (known.content(tensor) for tensor in node.inputs[1:3])
    step: Any = known.content(node.inputs[4])[0] if len(node.inputs) > 4 else 1
    return known.content(node.inputs[0])[start:end:step]


def _content_concat(known: Known, node: Node) -> Content:
    return tuple(number for tensor in node.inputs for number in known.content(tensor))


def _content_shape(known: Known, node: Node) -> Content:
    return known.shape(node.inputs[0])[node.attrs["start"] : node.attrs["end"]]


def _content_of(number: Callable[[int, int], int]) -> Callable[[Known, Node], Content]:
    def rule(known: Known, node: Node) -> Content:
        a, b = (known.content(tensor) for tensor in node.inputs)
        a, b = a * (len(b) if len(a) == 1 else 1), b * (len(a) if len(b) == 1 else 1)
        return tuple(None if m is None or n is None else int(number(m, n)) for m, n in zip(a, b, strict=True))

    return rule


def _content_same(known: Known, node: Node) -> Content:
    return known.content(node.inputs[0])


CONTENT_RULES: dict[str, Callable[[Known, Node], Content]] = {
    "Shape": _content_shape,
    "Gather": _content_gather,
    "Slice": _content_slice,
    "Concat": _content_concat,
    "Squeeze": _content_same,
    "Unsqueeze": _content_same,
    "Cast": _content_same,
    "Identity": _content_same,
    "Mul": _content_of(lambda a, b: a * b),
    "Add": _content_of(lambda a, b: a + b),
    "Sub": _content_of(lambda a, b: a - b),
    "Div": _content_of(lambda a, b: abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)),
}
