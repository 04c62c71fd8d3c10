# SPDX-License-Identifier: Apache-2.0
"""Make one chain of all float operators between two integer tensors, pools or outputs."""

from __future__ import annotations

from bitlens.graph.graph import Graph, Node
from bitlens.graph.rewrite import drop_dead

__all__ = ["fuse_chains"]


def fuse_chains(graph: Graph) -> None:
    """Join every chain with the chains of real values it reads.

    A real tensor that several chains read is computed by each of them: on integers that costs nothing, since every chain
    becomes one table.
    """
    for node in graph.nodes:  # in order, so what a chain reads is fused already
        if node.op != "chain":
            continue
        before = _real_chain(graph, node)
        if before is not None:
            node.inputs = [*before.inputs]
            node.attrs["chain"] = (*before.attrs["chain"], *node.attrs["chain"])
    drop_dead(graph)


def _real_chain(graph: Graph, node: Node) -> Node | None:
    before = graph.producer(node.inputs[0])
    real = before is not None and before.op == "chain" and graph.value(before.output).grid is None
    return before if real else None
