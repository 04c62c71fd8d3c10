# SPDX-License-Identifier: Apache-2.0
"""Compute once what is computed twice: layers that each quantize the same input share one quantizer."""

from __future__ import annotations

from bitlens.graph.graph import Graph, Node
from bitlens.graph.rewrite import replace_tensor, same

__all__ = ["merge_duplicates"]


def merge_duplicates(graph: Graph) -> None:
    """Remove nodes with the operator, inputs and attributes of an earlier one; readers take the earlier result."""
    seen: dict[tuple[str, tuple[str, ...]], list[Node]] = {}
    kept: list[Node] = []
    for node in graph.nodes:  # in order, so inputs are merged before their readers
        alike = seen.setdefault((node.op, tuple(node.inputs)), [])
        twin = next((other for other in alike if same(other.attrs, node.attrs)), None)
        if twin is None or node.output in graph.outputs:
            alike.append(node)
            kept.append(node)
        else:
            replace_tensor(graph, node.output, twin.output)
    graph.nodes = kept
