# SPDX-License-Identifier: Apache-2.0
"""Leave float operators that end a model outside: the program yields integers, the tail is named in the metadata."""

from __future__ import annotations

from bitlens.graph.graph import Graph, Node
from bitlens.graph.rewrite import drop_dead
from bitlens.graph.spec import TAIL_OPS

__all__ = ["detach_tails"]

_MOVES = ("Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")  # behind a tail operator


def detach_tails(graph: Graph) -> None:
    """Cut Softmax, LogSoftmax, Hardmax, Sigmoid, ArgMax and TopK off the outputs, with what only reshapes or casts their results.

    Metadata "tail" gets one line per cut operator, first operator first: "<output>: softmax". Users keep seeing the
    output's name. Where a tail's input is an output already, that output stays and the tail's own name goes.
    """
    lines: list[str] = []
    for output in [*graph.outputs]:
        cut = _tail(graph, output)
        if not cut:
            continue
        tensor = cut[-1].inputs[0]
        graph.nodes = [node for node in graph.nodes if not any(node is part for part in cut)]
        lines += [f"{output}: {node.op.lower()}" for node in reversed(cut)]
        if tensor in graph.outputs:
            graph.outputs.remove(output)
        else:
            graph.outputs[graph.outputs.index(output)] = tensor
            graph.output_names[tensor] = output
    if lines:
        graph.metadata["tail"] = "\n".join(lines)
    drop_dead(graph)


def _tail(graph: Graph, output: str) -> list[Node]:
    """The nodes to cut, last one first; a Transpose in front goes too, since programs have an order of axes of their own."""
    found: list[Node] = []
    tensor = output
    while not graph.consumers(tensor) or (found and graph.consumers(tensor) == [found[-1]]):
        node = graph.producer(tensor)
        if node is None or node.op not in (*TAIL_OPS, *_MOVES) or (found and tensor in graph.outputs):
            break
        found.append(node)
        tensor = node.inputs[0]
    last = max((i for i, node in enumerate(found) if node.op in TAIL_OPS), default=-1)
    front = found[last + 1 : last + 2]
    return found[: last + 1 + (last >= 0 and bool(front) and front[0].op == "Transpose")]
