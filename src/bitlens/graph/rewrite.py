# SPDX-License-Identifier: Apache-2.0
"""The few moves that every rewrite of a graph is made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from bitlens.graph.graph import Graph, Node

__all__ = ["bypass", "drop_dead", "fresh_node", "fresh_tensor", "insert_after", "replace_tensor", "same", "sort_nodes"]


def fresh_tensor(graph: Graph, wish: str) -> str:
    """A tensor name that the graph does not have yet: the wish, or the wish with a number."""
    taken = {*graph.inputs, *graph.constants, *graph.values, *(out for node in graph.nodes for out in node.outputs)}
    return _fresh(taken, wish)


def fresh_node(graph: Graph, wish: str) -> str:
    """A node name that the graph does not have yet."""
    return _fresh({node.name for node in graph.nodes}, wish)


def _fresh(taken: Iterable[str], wish: str) -> str:
    taken = set(taken)
    name, count = wish, 2
    while name in taken:
        name, count = f"{wish}.{count}", count + 1
    return name


def insert_after(graph: Graph, place: Node | None, *nodes: Node) -> None:
    """Insert nodes right after a place, or at the front where the place is None."""
    at = 0 if place is None else next(i for i, node in enumerate(graph.nodes) if node is place) + 1
    graph.nodes[at:at] = nodes


def replace_tensor(graph: Graph, old: str, new: str) -> None:
    """Let every reader of `old`, and every output of the graph, read `new`. Users keep seeing the output's old name."""
    for node in graph.nodes:
        node.inputs = [new if tensor == old else tensor for tensor in node.inputs]
    if old in graph.outputs:
        seen = graph.output_names.pop(old, old)
        graph.outputs = [new if tensor == old else tensor for tensor in graph.outputs]
        graph.output_names.setdefault(new, seen)


def bypass(graph: Graph, node: Node) -> None:
    """Remove a node whose result is its first input."""
    replace_tensor(graph, node.output, node.inputs[0])
    graph.nodes = [other for other in graph.nodes if other is not node]


def drop_dead(graph: Graph) -> None:
    """Remove nodes, constants and values that no output needs. Inputs stay."""
    needed = set(graph.outputs)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if needed.intersection(node.outputs):
            kept.append(node)
            needed.update(tensor for tensor in node.inputs if tensor)
    graph.nodes = kept[::-1]
    graph.constants = {name: array for name, array in graph.constants.items() if name in needed}
    born = {*graph.inputs, *graph.constants, *(tensor for node in graph.nodes for tensor in node.outputs)}
    graph.values = {name: value for name, value in graph.values.items() if name in born}


def sort_nodes(graph: Graph) -> None:
    """Bring the nodes into topological order, each as early as its place among its equals allows."""
    born = {*graph.inputs, *graph.constants, ""}
    waiting, ordered = graph.nodes, []
    while waiting:
        ready = [node for node in waiting if born.issuperset(node.inputs)]
        if not ready:
            return  # a cycle or a missing tensor: left to `check_stage`, which names it
        first = ready[0]
        ordered.append(first)
        born.update(first.outputs)
        waiting = [node for node in waiting if node is not first]
    graph.nodes = ordered


def same(a: Any, b: Any) -> bool:
    """Whether two attributes are alike: arrays by dtype, shape and content, dataclasses and tuples by their parts."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and bool(np.array_equal(a, b))
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if hasattr(a, "__dataclass_fields__"):
        return all(same(getattr(a, name), getattr(b, name)) for name in a.__dataclass_fields__)
    return bool(a == b)
