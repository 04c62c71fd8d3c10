# SPDX-License-Identifier: Apache-2.0
"""Turn Add and Concat of computed tensors into `add` and `concat`; remove reshapes that channels-last makes meaningless."""

from __future__ import annotations

from bitlens.graph.graph import Graph, Node
from bitlens.graph.rewrite import bypass
from bitlens.graph.spec import CompileError

__all__ = ["lower_joins"]


def lower_joins(graph: Graph) -> None:
    """Lower joins and the reshapes (N, C, 1, 1) <-> (N, C).

    Raises:
        CompileError: a concat is not along the channels, operands differ in shape, or a reshape is left over.
    """
    for node in [*graph.nodes]:
        if node.op == "Add":
            shapes = [graph.value(tensor).shape for tensor in node.inputs]
            if shapes[0] != shapes[1]:
                raise CompileError(f"{node.name}: operands of Add must have one shape, not {shapes[0]} and {shapes[1]}")
            node.op, node.attrs = "add", {}
        elif node.op == "Concat":
            _lower_concat(graph, node)
        elif node.op == "Reshape":
            _drop_reshape(graph, node)


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
