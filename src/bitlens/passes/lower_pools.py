# SPDX-License-Identifier: Apache-2.0
"""Turn pooling into `max_pool` and `sum_pool`; the divisor of an average becomes part of the scale."""

from __future__ import annotations

from bitlens.graph.graph import Graph, Node
from bitlens.graph.ops import window_attrs
from bitlens.graph.spec import CompileError

__all__ = ["lower_pools"]


def lower_pools(graph: Graph) -> None:
    """Lower MaxPool and AveragePool. A `sum_pool` node holds "divisor" until `find_grids`.

    Raises:
        CompileError: the last window of a map of symbolic size is cut off.
    """
    for node in graph.nodes:
        if node.op not in ("MaxPool", "AveragePool"):
            continue
        if node.attrs["ceil_mode"] and _is_cut(graph, node):
            raise CompileError(
                f"{node.name}: ceil_mode must be 0 where the last window is cut off, not 1; pad the map explicitly instead"
            )
        window = window_attrs(*(node.attrs[name] for name in ("kernel_shape", "strides", "pads", "dilations")))
        if node.op == "MaxPool":
            node.op, node.attrs = "max_pool", window
            continue
        taps = window["kernel"][0] * window["kernel"][1]
        node.op, node.attrs = "sum_pool", {**window, "divisor": taps}


def _is_cut(graph: Graph, node: Node) -> bool:
    """Whether rounding the output's size up gives other windows than rounding it down."""
    sizes = (graph.value(node.inputs[0]).shape or ())[2:]
    for axis, size in enumerate(sizes):
        kernel, stride, dilation = (node.attrs[name][axis] for name in ("kernel_shape", "strides", "dilations"))
        padding = node.attrs["pads"][axis] + node.attrs["pads"][axis + 2]
        if stride > 1 and (size is None or (size + padding - dilation * (kernel - 1) - 1) % stride):
            return True
    return False
