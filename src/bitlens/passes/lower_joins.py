# SPDX-License-Identifier: Apache-2.0
"""Turn Add, Sub, Mul and Concat of computed tensors into `add`, `multiply` and `concat`.

Reshapes that channels-last makes meaningless go.
"""

from __future__ import annotations

import numpy as np

from bitlens.core.reference import Multiply
from bitlens.graph.graph import Graph, Node, Value
from bitlens.graph.rewrite import bypass, fresh_node, fresh_tensor
from bitlens.graph.spec import CompileError

__all__ = ["lower_joins"]


def lower_joins(graph: Graph) -> None:
    """Lower joins and the reshapes (N, C, 1, 1) <-> (N, C).

    Raises:
        CompileError: a concat is not along the channels, operands differ in shape, or a reshape is left over.
    """
    for node in [*graph.nodes]:
        if node.op in ("Add", "Sub"):
            _lower_sum(graph, node)
        elif node.op == "Mul":
            _lower_product(graph, node)
        elif node.op == "Concat":
            _lower_concat(graph, node)
    for node in [*graph.nodes]:  # only now: a vector that was made one pixel may meet a map
        if node.op == "Reshape":
            _drop_reshape(graph, node)


def _lower_sum(graph: Graph, node: Node) -> None:
    shapes = [graph.value(tensor).shape for tensor in node.inputs]
    if shapes[0] != shapes[1]:
        raise CompileError(f"{node.name}: operands of {node.op} must have one shape, not {shapes[0]} and {shapes[1]}")
    if node.op == "Sub":  # a - b = a + (-b), which `find_grids` makes of integers
        name = fresh_tensor(graph, f"{node.inputs[1]}.negative")
        graph.values[name] = Value(name, shapes[1])
        attrs = {"chain": (Multiply(np.float32(-1)),), "factor": 1, "shift": 0}
        negative = Node("chain", fresh_node(graph, f"{node.name}.negative"), [node.inputs[1]], [name], attrs)
        graph.nodes.insert(next(i for i, other in enumerate(graph.nodes) if other is node), negative)
        node.inputs[1] = name
    node.op, node.attrs = "add", {}


def _lower_product(graph: Graph, node: Node) -> None:
    shapes = [graph.value(tensor).shape or () for tensor in node.inputs]
    if _is_pixel(shapes[0]) and not _is_pixel(shapes[1]):
        shapes, node.inputs = shapes[::-1], node.inputs[::-1]
    if shapes[0] != shapes[1] and not (_is_pixel(shapes[1]) and len(shapes[0]) == 4 and shapes[0][1] == shapes[1][1]):
        raise CompileError(
            f"{node.name}: operands of Mul must have one shape, or one of them one pixel, "
            f"not {shapes[0]} and {shapes[1]}"
        )
    node.op, node.attrs = "multiply", {}


def _is_pixel(shape: tuple[int | None, ...]) -> bool:
    return len(shape) == 4 and shape[2:] == (1, 1)


def _lower_concat(graph: Graph, node: Node) -> None:
    rank = len(graph.value(node.output).shape or ())
    if node.attrs["axis"] % max(rank, 1) != 1:
        raise CompileError(f"{node.name}: axis of Concat must be 1 (channels), not {node.attrs['axis']}")
    for tensor in node.inputs:
        if tensor in graph.constants:
            raise CompileError(f"{node.name}: operands of Concat must be computed, not constant ({tensor})")
    if len(node.inputs) == 1:
        bypass(graph, node)
    else:
        node.op, node.attrs = "concat", {}


def _drop_reshape(graph: Graph, node: Node) -> None:
    before, after = (graph.value(tensor).shape or () for tensor in (node.inputs[0], node.output))
    vectors = all(len(shape) > 1 and all(size == 1 for size in shape[2:]) for shape in (before, after))
    if not vectors or before[1] != after[1]:
        raise CompileError(
            f"{node.name}: reshape must flatten a map in front of a matrix product, not turn {before} into {after}; "
            "quantize behind it, per tensor"
        )
    bypass(graph, node)
