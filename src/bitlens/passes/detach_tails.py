# SPDX-License-Identifier: Apache-2.0
"""Leave float operators that end a model outside: the program yields integers, the tail is named in the metadata."""

from __future__ import annotations

from bitlens.graph.graph import Graph
from bitlens.graph.rewrite import drop_dead
from bitlens.graph.spec import TAIL_OPS

__all__ = ["detach_tails"]


def detach_tails(graph: Graph) -> None:
    """Cut Softmax, LogSoftmax, Sigmoid and ArgMax off the outputs.

    Metadata "tail" gets one line per cut operator, first operator first: "<output>: softmax". Users keep seeing the
    output's name. Where a tail's input is an output already, that output stays and the tail's own name goes.
    """
    lines: list[str] = []
    for output in [*graph.outputs]:
        tensor, cut = output, []
        while (node := graph.producer(tensor)) is not None and node.op in TAIL_OPS:
            if graph.consumers(tensor):
                break
            cut.append(node.op.lower())
            tensor = node.inputs[0]
            graph.nodes = [other for other in graph.nodes if other is not node]
        if not cut:
            continue
        lines += [f"{output}: {op}" for op in reversed(cut)]
        if tensor in graph.outputs:
            graph.outputs.remove(output)
        else:
            graph.outputs[graph.outputs.index(output)] = tensor
            graph.output_names[tensor] = output
    if lines:
        graph.metadata["tail"] = "\n".join(lines)
    drop_dead(graph)
