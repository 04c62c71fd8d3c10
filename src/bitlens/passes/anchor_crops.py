# SPDX-License-Identifier: Apache-2.0
"""Let each crop look at the size of a tensor that lives on as integers."""

from __future__ import annotations

from bitlens.core.reference import ends_in_codes
from bitlens.graph.graph import Graph, Node
from bitlens.graph.rewrite import drop_dead

__all__ = ["anchor_crops"]


def anchor_crops(graph: Graph) -> None:
    """Replace the second operand of every crop by what its chains come from; of a real input, by its quantizer's result."""
    for node in graph.nodes:
        if node.op == "crop":
            node.inputs[1] = _anchor(graph, node.inputs[1])
    drop_dead(graph)


def _anchor(graph: Graph, tensor: str) -> str:
    producer = graph.producer(tensor)
    while producer is not None and producer.op == "chain":
        tensor = producer.inputs[0]
        producer = graph.producer(tensor)
    if producer is not None or graph.value(tensor).grid is not None:
        return tensor
    quantizers = [node.output for node in graph.consumers(tensor) if _is_quantizer(node)]
    return quantizers[0] if quantizers else tensor  # an input without one is refused by adopt_inputs


def _is_quantizer(node: Node) -> bool:
    return node.op == "chain" and ends_in_codes(node.attrs["chain"])
