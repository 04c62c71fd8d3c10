# SPDX-License-Identifier: Apache-2.0
"""Make one function of a tensor of products whose both sides come from it: x * sigmoid(x), x * clip(x + 3, 0, 6)."""

from __future__ import annotations

from bitlens.core.reference import Add, BatchNorm, Chain, Divide, Fork, Multiply, ends_in_codes
from bitlens.graph.graph import Graph
from bitlens.graph.rewrite import drop_dead

__all__ = ["join_forks"]

_STRAIGHT = (Multiply, Divide, Add, BatchNorm)


def join_forks(graph: Graph) -> None:
    """Replace such a Mul by a chain; products of straight lines alone are left, they are products of integers."""
    for node in graph.nodes:
        if node.op == "Mul":
            found = _common(_ways(graph, node.inputs[0]), _ways(graph, node.inputs[1]))
            if found is not None:
                tensor, left, right = found
                node.op, node.inputs = "chain", [tensor]
                node.attrs = {"chain": (Fork(left, right),), "factor": 1, "shift": 0}
    drop_dead(graph)


def _ways(graph: Graph, tensor: str) -> dict[str, Chain]:
    """Every tensor that this one is a function of, nearest first, and the function."""
    chain: Chain = ()
    found = {tensor: chain}
    while (
        (node := graph.producer(tensor)) is not None and node.op == "chain" and not ends_in_codes(node.attrs["chain"])
    ):
        chain, tensor = (*node.attrs["chain"], *chain), node.inputs[0]
        found[tensor] = chain
    return found


def _common(left: dict[str, Chain], right: dict[str, Chain]) -> tuple[str, Chain, Chain] | None:
    for tensor, chain in left.items():
        if tensor in right:
            operators = (*chain, *right[tensor])
            bent = any(not isinstance(operator, _STRAIGHT) for operator in operators)
            return (tensor, chain, right[tensor]) if bent else None
    return None
