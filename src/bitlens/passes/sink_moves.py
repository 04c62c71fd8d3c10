# SPDX-License-Identifier: Apache-2.0
"""Move reshapes behind the elementwise operators that follow, towards the matrix product that takes them in."""

from __future__ import annotations

import numpy as np

from bitlens.core.reference import Chain, Operator
from bitlens.graph.graph import Graph, Node
from bitlens.graph.rewrite import drop_dead, fresh_node, fresh_tensor, insert_after

__all__ = ["is_scalar", "sink_reshapes"]


def sink_reshapes(graph: Graph) -> None:
    """Swap Reshape -> chain to chain -> Reshape where the chain treats all elements alike.

    A reshape (N, C, 1, 1) -> (N, C) keeps the channels, so any chain may pass it. The chain's result keeps its name and has the
    shape of the map; the reshaped tensor gets a new one.
    """
    for node in [*graph.nodes]:  # in order: a reshape that has passed one chain is in front of the next
        reshape = graph.producer(node.inputs[0]) if node.op == "chain" else None
        if reshape is not None and reshape.op == "Reshape" and _passes(graph, reshape, node.attrs["chain"]):
            _swap(graph, reshape, node)
    drop_dead(graph)


def is_scalar(chain: Chain) -> bool:
    """Whether a chain treats all channels alike."""
    return all(np.asarray(number).ndim == 0 for operator in chain for number in _parameters(operator))


def _parameters(operator: Operator) -> list[object]:
    return [value for value in vars(operator).values() if not isinstance(value, str)]


def _passes(graph: Graph, reshape: Node, chain: Chain) -> bool:
    before = graph.value(reshape.inputs[0]).shape or ()
    after = graph.value(reshape.output).shape or ()
    keeps_channels = len(before) > 1 and len(after) > 1 and before[1] == after[1] is not None
    return is_scalar(chain) or (keeps_channels and all(size == 1 for size in (*before[2:], *after[2:])))


def _swap(graph: Graph, reshape: Node, chain: Node) -> None:
    result = chain.output
    flat = fresh_tensor(graph, f"{result}.flat")
    value = graph.value(result)
    graph.values[flat] = value.with_(name=flat)
    graph.values[result] = value.with_(shape=graph.value(reshape.inputs[0]).shape)
    for node in graph.nodes:
        node.inputs = [flat if tensor == result else tensor for tensor in node.inputs]
    if result in graph.outputs:
        graph.output_names[flat] = graph.output_names.pop(result, result)
        graph.outputs = [flat if tensor == result else tensor for tensor in graph.outputs]
    chain.inputs = [reshape.inputs[0]]
    if reshape.output not in graph.outputs and not graph.consumers(reshape.output):
        graph.nodes = [node for node in graph.nodes if node is not reshape]
    insert_after(graph, chain, Node("Reshape", fresh_node(graph, reshape.name), [result], [flat]))
