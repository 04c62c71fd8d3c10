# SPDX-License-Identifier: Apache-2.0
"""Move what moves elements behind the elementwise operators that follow.

A concat of real parts goes behind their common quantizer, a reshape towards the matrix product that takes it in; an
upsampling goes behind the quantizer, where its pixels are few bits.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bitlens.core.reference import Chain, Count, Fork, Function, Operator, ends_in_codes, evaluate
from bitlens.graph.graph import Graph, Node
from bitlens.graph.ops import fills
from bitlens.graph.rewrite import drop_dead, fresh_node, fresh_tensor, insert_after, replace_tensor

__all__ = ["is_scalar", "sink_moves"]


def sink_moves(graph: Graph) -> None:
    """Swap move -> chain to chain -> move where that changes nothing.

    A reshape passes a chain that treats all elements alike; one (N, C, 1, 1) -> (N, C) keeps the channels, so any chain
    may pass it. An upsampling passes any chain, but where it adds zeros only one that makes 0 of 0.
    """
    for node in [*graph.nodes]:  # in order: a move that has passed one chain is in front of the next
        while node.op == "chain" and (move := _passing(graph, node)) is not None:
            if move.op == "Concat":
                _share_out(graph, move, node)
                break  # its parts have chains of their own now
            _swap(graph, move, node)
    drop_dead(graph)


def _passing(graph: Graph, node: Node) -> Node | None:
    """The move in front of a chain, if it may go behind it."""
    move = graph.producer(node.inputs[0])
    return move if move is not None and move.op in _PASSES and _PASSES[move.op](graph, move, node) else None


def is_scalar(chain: Chain) -> bool:
    """Whether a chain treats all channels alike."""
    return all(_treats_alike(operator) for operator in chain)


def _treats_alike(operator: Operator) -> bool:
    match operator:
        case Count(thresholds):
            return len(thresholds) == 1
        case Fork(left, right):
            return is_scalar(left) and is_scalar(right)
        case Function():
            return True
    return all(np.asarray(number).ndim == 0 for number in vars(operator).values() if not isinstance(number, str))


def _reshape_passes(graph: Graph, reshape: Node, node: Node) -> bool:
    before = graph.value(reshape.inputs[0]).shape or ()
    after = graph.value(reshape.output).shape or ()
    keeps_channels = len(before) > 1 and len(after) > 1 and before[1] == after[1] is not None
    vectors = keeps_channels and all(size == 1 for size in (*before[2:], *after[2:]))
    return vectors or is_scalar(node.attrs["chain"])


def _upsample_passes(graph: Graph, upsample: Node, node: Node) -> bool:
    return not fills(upsample.attrs) or _zero_stays(graph, node)


def _is_real(graph: Graph, move: Node) -> bool:
    """Whether real values are moved; a quantizer's integers may be, where they are."""
    return graph.value(move.inputs[0]).grid is None


def _zero_stays(graph: Graph, node: Node) -> bool:
    """Whether this chain and all behind it, up to a quantizer, make 0 of 0: half the way would leave real values to move."""
    chain, channels = node.attrs["chain"], (graph.value(node.output).shape or (None, None))[1] or 1
    made = evaluate(chain, np.zeros((1, channels), np.int64))
    if ends_in_codes(chain):
        return not np.any(node.attrs["factor"] * made + node.attrs["shift"])
    readers = graph.consumers(node.output)
    return not np.any(made) and bool(readers) and all(r.op == "chain" and _zero_stays(graph, r) for r in readers)


def _concat_passes(graph: Graph, concat: Node, node: Node) -> bool:
    """Whether real parts are joined along the channels in front of a quantizer that treats them alike."""
    computed = not any(tensor in graph.constants for tensor in concat.inputs)
    channels = concat.attrs["axis"] % max(1, len(graph.value(concat.output).shape or ())) == 1
    real = any(_makes_real(graph, tensor) for tensor in concat.inputs)
    return computed and channels and real and _leads_to_codes(graph, node)


def _makes_real(graph: Graph, tensor: str) -> bool:
    producer = graph.producer(tensor)
    return producer is not None and producer.op == "chain" and not ends_in_codes(producer.attrs["chain"])


def _leads_to_codes(graph: Graph, node: Node) -> bool:
    """Whether a chain and all behind it treat channels alike and end in quantizers."""
    if node.op != "chain" or not is_scalar(node.attrs["chain"]):
        return False
    if ends_in_codes(node.attrs["chain"]):
        return True
    readers = graph.consumers(node.output)
    return bool(readers) and node.output not in graph.outputs and all(_leads_to_codes(graph, r) for r in readers)


def _share_out(graph: Graph, concat: Node, chain: Node) -> None:
    """Give every part of a concat the chain behind it: Q(f([a, b])) = [Q(f(a)), Q(f(b))]."""
    parts = []
    for place, tensor in enumerate(concat.inputs):
        name = fresh_tensor(graph, f"{chain.output}.{place}")
        graph.values[name] = graph.value(chain.output).with_(name=name, shape=graph.value(tensor).shape)
        part = Node("chain", fresh_node(graph, f"{chain.name}.{place}"), [tensor], [name], {**chain.attrs})
        graph.nodes.insert(next(i for i, node in enumerate(graph.nodes) if node is chain), part)
        parts.append(name)
    chain.op, chain.inputs, chain.attrs = "Concat", parts, {**concat.attrs}


_PASSES: dict[str, Callable[[Graph, Node, Node], bool]] = {
    "Reshape": _reshape_passes,
    "upsample": _upsample_passes,
    "select": lambda graph, move, node: _is_real(graph, move) and is_scalar(node.attrs["chain"]),
    "depth_to_space": lambda graph, move, node: _is_real(graph, move) and is_scalar(node.attrs["chain"]),
    "SpaceToDepth": lambda graph, move, node: _is_real(graph, move) and is_scalar(node.attrs["chain"]),
    "Concat": _concat_passes,
    "crop": lambda graph, crop, node: crop.output == node.inputs[0],
}


def _swap(graph: Graph, move: Node, chain: Node) -> None:
    """Put the chain in front. Its result's name stays with the tensor that lives on: the map, or the enlarged map."""
    result, value = chain.output, graph.value(chain.output)
    fresh = fresh_tensor(graph, f"{result}.{move.op.lower()}")
    source, moved = (result, fresh) if move.op == "Reshape" else (fresh, result)
    if moved == fresh:
        replace_tensor(graph, result, fresh)
    graph.values[moved] = value.with_(name=moved)
    graph.values[source] = value.with_(name=source, shape=graph.value(move.inputs[0]).shape)
    chain.inputs, chain.outputs = [move.inputs[0]], [source]
    if move.output not in graph.outputs and not graph.consumers(move.output):
        graph.nodes = [node for node in graph.nodes if node is not move]
    insert_after(
        graph, chain, Node(move.op, fresh_node(graph, move.name), [source, *move.inputs[1:]], [moved], {**move.attrs})
    )
