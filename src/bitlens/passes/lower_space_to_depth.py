# SPDX-License-Identifier: Apache-2.0
"""Turn SpaceToDepth into strided pools of one pixel and a concat: one part for each pixel of a block."""

from __future__ import annotations

from bitlens.graph.graph import Graph, Node, Value
from bitlens.graph.ops import window_attrs
from bitlens.graph.rewrite import fresh_node, fresh_tensor
from bitlens.graph.spec import CompileError

__all__ = ["lower_space_to_depth"]

_MOST_PARTS = 255  # operands of a concat


def lower_space_to_depth(graph: Graph) -> None:
    """Lower every SpaceToDepth: channel c of pixel (y*block + i, x*block + j) becomes channel (i*block + j)*C + c of (y, x).

    Raises:
        CompileError: the block has too many pixels.
    """
    for node in [*graph.nodes]:
        if node.op == "SpaceToDepth":
            _lower(graph, node)


def _lower(graph: Graph, node: Node) -> None:
    block, shape = node.attrs["blocksize"], graph.value(node.inputs[0]).shape or ()
    if not 1 < block * block <= _MOST_PARTS:
        raise CompileError(f"{node.name}: blocksize must be 2 to 15, not {block}; use several SpaceToDepth")
    front, size = shape[:2], (graph.value(node.output).shape or ())[2:]
    parts: list[str] = []
    for i in range(block):
        for j in range(block):
            part = node.inputs[0]
            if i or j:
                cut = (*front, *(None if n is None else n - k for n, k in zip(shape[2:], (i, j), strict=True)))
                part = _insert(
                    graph, node, part, "upsample", {"factor": (1, 1), "repeat": 1, "pads": (-i, -j, 0, 0)}, cut
                )
            pool = window_attrs((1, 1), (block, block))
            parts.append(_insert(graph, node, part, "max_pool", pool, (*front, *size)))
    node.op, node.inputs, node.attrs = "concat", parts, {}


def _insert(graph: Graph, node: Node, x: str, op: str, attrs: dict[str, object], shape: tuple[int | None, ...]) -> str:
    tensor = fresh_tensor(graph, f"{node.output}.{op}")
    graph.values[tensor] = Value(tensor, shape)
    new = Node(op, fresh_node(graph, f"{node.name}.{op}"), [x], [tensor], attrs)
    graph.nodes.insert(graph.nodes.index(node), new)
    return tensor
