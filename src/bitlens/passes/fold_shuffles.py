# SPDX-License-Identifier: Apache-2.0
"""Recognise channel shuffles, pixel shuffles and their inverse where they are written as Reshape, Transpose, Reshape.

(N, C, H, W) -> (N, g, C/g, H, W) -> (N, C/g, g, H, W) -> (N, C, H, W) is a channel shuffle; where blocks of pixels and
channels change sides it is DepthToSpace or SpaceToDepth. What a run of these operators does is found by sending the numbers
0, 1, 2, ... through it.

C channels, H height, W width, b block.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.graph.graph import Graph, Node, Value
from bitlens.graph.rewrite import fresh_node, fresh_tensor

__all__ = ["fold_shuffles"]

IntArray = npt.NDArray[np.int64]
Moves = list[tuple[str, Any]]  # operator, and its block or its channels

_RUN = ("Reshape", "Transpose")


def fold_shuffles(graph: Graph) -> None:
    """Replace runs of Reshape and Transpose between two maps of fixed size; any other run is left as it is."""
    for node in [*graph.nodes]:
        run = _run(graph, node)
        if len(run) > 1 and any(part.op == "Transpose" for part in run):
            _fold(graph, run)


def _run(graph: Graph, last: Node) -> list[Node]:
    """The longest run that ends in a node and that nothing else reads in between; empty where the run goes on."""
    if last.op not in _RUN or (_is_inner(graph, last.output) and graph.consumers(last.output)[0].op in _RUN):
        return []
    run, node = [last], graph.producer(last.inputs[0])
    while node is not None and node.op in _RUN and _is_inner(graph, node.output):
        run.insert(0, node)
        node = graph.producer(node.inputs[0])
    return run


def _is_inner(graph: Graph, tensor: str) -> bool:
    return len(graph.consumers(tensor)) == 1 and tensor not in graph.outputs


def _fold(graph: Graph, run: list[Node]) -> None:
    numbers = _sent_through(graph, run)
    before = graph.value(run[0].inputs[0]).shape or ()
    moves = None if numbers is None else _find_moves(numbers, tuple(size or 0 for size in before[1:]))
    if moves is None:
        return
    last, tensor, shape = run[-1], run[0].inputs[0], before
    nodes: list[Node] = []
    for op, what in moves:
        inputs, attrs = [tensor], {"blocksize": what}
        tensor = last.output if len(nodes) == len(moves) - 1 else fresh_tensor(graph, f"{last.output}.{op.lower()}")
        if op == "Gather":
            inputs.append(fresh_tensor(graph, f"{tensor}.channels"))
            graph.constants[inputs[1]], attrs = what, {"axis": 1}
        else:
            attrs |= {"mode": "DCR"} if op == "DepthToSpace" else {}
            shape = _moved(shape, what if op == "DepthToSpace" else -what)
        graph.values[tensor] = Value(tensor, shape)
        nodes.append(Node(op, last.name if not nodes else fresh_node(graph, last.name), inputs, [tensor], attrs))
    place = graph.nodes.index(last)
    graph.nodes[place : place + 1] = nodes
    graph.nodes = [node for node in graph.nodes if not any(node is part for part in run)]


def _moved(shape: tuple[int | None, ...], block: int) -> tuple[int | None, ...]:
    """The shape behind DepthToSpace of a block, or behind SpaceToDepth of a negative one."""
    n, *sizes = shape
    channels, height, width = (size or 0 for size in sizes)
    if block > 0:
        return (n, channels // block**2, height * block, width * block)
    return (n, channels * block**2, height // -block, width // -block)


def _sent_through(graph: Graph, run: list[Node]) -> IntArray | None:
    """0, 1, 2, ... of the map in front, where they are behind, (C, H, W); None where the batch is touched or a size open."""
    shapes = [graph.value(tensor).shape or () for tensor in (run[0].inputs[0], *(node.output for node in run))]
    if len(shapes[0]) != 4 or len(shapes[-1]) != 4 or any(None in shape[1:] for shape in shapes):
        return None
    sizes = [tuple(size or 0 for size in shape[1:]) for shape in shapes]
    numbers = np.arange(np.prod(sizes[0])).reshape(1, *sizes[0])
    for node, inner in zip(run, sizes[1:], strict=True):
        order = node.attrs.get("perm") if node.op == "Transpose" else None
        if node.op == "Transpose" and (order is None or order[0] != 0):
            return None
        if np.prod(inner) != numbers.size:
            return None
        numbers = numbers.reshape(1, *inner) if order is None else numbers.transpose(order)
    return np.asarray(numbers[0])


def _find_moves(numbers: IntArray, shape: tuple[int, ...]) -> Moves | None:
    """The operators that bring 0, 1, 2, ... of this shape to where they are; None where there are none."""
    channels, height, width = shape
    high, wide = numbers.shape[1:]
    original = np.arange(numbers.size).reshape(shape)
    if (high, wide) == (height, width):
        order = numbers[:, 0, 0] // (height * width)
        return [("Gather", order)] if np.array_equal(original[order], numbers) else None
    block = max(high // height, height // high)
    if (high, wide) == (height * block, width * block):
        order = numbers[:, :block, :block].transpose(1, 2, 0).reshape(-1) // (height * width)  # (i, j, c)
        return (
            _with_order("DepthToSpace", block, order, first=True)
            if _is_there(original, numbers, block, order)
            else None
        )
    if (high * block, wide * block) != (height, width):
        return None
    places = numbers[:, 0, 0] % (height * width)
    order = (places // width * block + places % width) * channels + numbers[:, 0, 0] // (height * width)
    parts = original.reshape(channels, high, block, wide, block).transpose(2, 4, 0, 1, 3).reshape(-1, high, wide)
    found = np.max(order) < len(parts) and np.array_equal(parts[order], numbers)
    return _with_order("SpaceToDepth", block, order, first=False) if found else None


def _is_there(original: IntArray, numbers: IntArray, block: int, order: IntArray) -> bool:
    deep, high, wide = numbers.shape
    parts = original[order].reshape(block, block, deep, high // block, wide // block)
    return np.array_equal(parts.transpose(2, 3, 0, 4, 1).reshape(numbers.shape), numbers)


def _with_order(op: str, block: int, order: IntArray, *, first: bool) -> Moves:
    """A block move and a Gather in front or behind, unless that gives every channel as it is."""
    gather: Moves = [] if np.array_equal(order, np.arange(len(order))) else [("Gather", order)]
    return [*gather, (op, block)] if first else [(op, block), *gather]
