# SPDX-License-Identifier: Apache-2.0
"""Compute once what is computed twice: layers that each quantize the same input share one quantizer."""

from __future__ import annotations

import numpy as np

from bitlens.core.grid import Grid
from bitlens.graph.graph import Graph, Node
from bitlens.graph.rewrite import replace_tensor, same

__all__ = ["merge_duplicates"]


def merge_duplicates(graph: Graph) -> None:
    """Remove nodes with the operator, inputs, attributes and grid of an earlier one; readers take the earlier result.

    Two step tables may be alike and yet stand for different grids, of which they reach a part.
    """
    seen: dict[tuple[str, tuple[str, ...], Grid | None], list[Node]] = {}
    kept: list[Node] = []
    for node in graph.nodes:  # in order, so inputs are merged before their readers
        alike = seen.setdefault((node.op, tuple(node.inputs), graph.value(node.output).grid), [])
        twin = next((other for other in alike if _are_twins(graph, other, node)), None)
        if twin is None or node.output in graph.outputs:
            alike.append(node)
            kept.append(node)
        else:
            replace_tensor(graph, node.output, twin.output)
    graph.nodes = kept


def _are_twins(graph: Graph, one: Node, other: Node) -> bool:
    """Whether two nodes of one operator, operand and grid make the same integers of the same unit."""
    return np.array_equal(graph.value(one.output).scale, graph.value(other.output).scale) and same(
        one.attrs, other.attrs
    )
