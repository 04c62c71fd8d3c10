# SPDX-License-Identifier: Apache-2.0
"""Turn Slice, Split, Gather and DepthToSpace into select, crop, an upsample that cuts, a strided max_pool, depth_to_space."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.graph.graph import Graph, Node, Value
from bitlens.graph.ops import window_attrs
from bitlens.graph.rewrite import fresh_node, fresh_tensor
from bitlens.graph.spec import CompileError

__all__ = ["lower_slices"]

_CHANNELS, _HEIGHT, _WIDTH = 1, 2, 3


def lower_slices(graph: Graph) -> None:
    """Lower everything that takes a part of a tensor.

    Raises:
        CompileError: a part is not known before the model runs, or is taken of another axis than channels, height and width.
    """
    for node in [*graph.nodes]:
        rule = _RULES.get(node.op)
        if rule is not None:
            rule(graph, node)


def _slice(graph: Graph, node: Node) -> None:
    shape = graph.value(node.inputs[0]).shape or ()
    if _is_crop(graph, node, len(shape)):
        ends = graph.producer(node.inputs[2])
        assert ends is not None
        node.op, node.inputs, node.attrs = "crop", [node.inputs[0], ends.inputs[0]], {}
        return
    operands = [_numbers(graph, node, tensor) if tensor else None for tensor in (*node.inputs[1:], "", "")[:4]]
    starts, ends_, axes, steps = operands
    assert starts is not None
    assert ends_ is not None
    places = [*range(len(starts))] if axes is None else [axis % len(shape) for axis in axes]
    strides = [1] * len(starts) if steps is None else steps
    cuts = {place: (starts[i], ends_[i], strides[i]) for i, place in enumerate(places)}
    _take(graph, node, shape, cuts)


def _is_crop(graph: Graph, node: Node, rank: int) -> bool:
    """Whether a Slice cuts at the bottom and right to a size that is looked up."""
    ends = graph.producer(node.inputs[2])
    if ends is None or ends.op != "Shape":
        return False
    axes = graph.constants.get(node.inputs[3]) if len(node.inputs) > 3 else None
    zeros = node.inputs[1] in graph.constants and not graph.constants[node.inputs[1]].any()
    whole = len(node.inputs) < 5 or bool(np.all(graph.constants.get(node.inputs[4], np.zeros(1)) == 1))
    other = len(graph.value(ends.inputs[0]).shape or ())
    if rank != 4 or other != 4 or axes is None or not zeros or not whole:
        return False
    looked_up = ends.attrs["start"] % other, ends.attrs["end"] or other
    return looked_up == (2, 4) and [int(axis) % rank for axis in axes.reshape(-1)] == [_HEIGHT, _WIDTH]


def _numbers(graph: Graph, node: Node, tensor: str) -> list[int]:
    if tensor not in graph.constants:
        raise CompileError(
            f"{node.name}: {node.op} must have constant numbers or the size of a map, not computed ones ({tensor}); "
            "slice outside the model"
        )
    return [int(number) for number in graph.constants[tensor].reshape(-1)]


def _split(graph: Graph, node: Node) -> None:
    shape = graph.value(node.inputs[0]).shape or ()
    axis = node.attrs["axis"] % max(len(shape), 1)
    sizes = _numbers(graph, node, node.inputs[1]) if len(node.inputs) > 1 and node.inputs[1] else None
    whole, part, parts = shape[axis], node.attrs["part"], node.attrs["parts"]
    if sizes is None:
        if whole is None:
            raise CompileError(f"{node.name}: axis to split must have a fixed size; export with a fixed size")
        share = -(-whole // parts)
        sizes = [min(share, whole - share * i) for i in range(parts)]
    begin = sum(sizes[:part])
    _take(graph, node, shape, {axis: (begin, begin + sizes[part], 1)})


def _gather(graph: Graph, node: Node) -> None:
    shape = graph.value(node.inputs[0]).shape or ()
    if node.inputs[0] in graph.constants or len(shape) < 2:
        return  # arithmetic of shapes
    indices = graph.constants.get(node.inputs[1])
    if indices is None or indices.ndim != 1 or node.attrs["axis"] % len(shape) != _CHANNELS or shape[1] is None:
        raise CompileError(
            f"{node.name}: Gather must take channels by a constant list, not otherwise; slice outside the model"
        )
    _select(node, indices.astype(np.int64) % shape[1])


def _depth_to_space(graph: Graph, node: Node) -> None:
    shape, block = graph.value(node.inputs[0]).shape or (), node.attrs["blocksize"]
    channels = shape[1] or 0
    if node.attrs["mode"] not in ("DCR", "CRD") or block < 1 or channels % (block * block):
        raise CompileError(
            f"{node.name}: mode must be DCR or CRD and blocksize^2 divide {channels} channels, "
            f"not {node.attrs['mode']} and {block}"
        )
    if node.attrs["mode"] == "CRD":  # channel c*b*b + i*b + j -> (i*b + j)*C + c
        order = np.arange(channels).reshape(-1, block * block).T.reshape(-1)
        node.inputs = [_in_front(graph, node, "select", {"channels": order}, shape)]
    node.op, node.attrs = "depth_to_space", {"block": block}


def _take(graph: Graph, node: Node, shape: tuple[int | None, ...], cuts: dict[int, tuple[int, int, int]]) -> None:
    """Take start:end:step of axes, which changes the node into the last operator that this needs."""
    cuts = {axis: cut for axis, cut in cuts.items() if not _is_whole(shape[axis], cut)}
    if any(axis not in (_CHANNELS, _HEIGHT, _WIDTH) for axis in cuts) or any(step < 1 for *_, step in cuts.values()):
        raise CompileError(
            f"{node.name}: {node.op} must take channels, rows or columns in their order, "
            f"not {cuts} of {shape}; slice outside the model"
        )
    if _CHANNELS in cuts:
        start, end, step = cuts.pop(_CHANNELS)
        channels = np.arange(shape[1] or 0)[start:end:step]
        if not cuts:
            _select(node, channels)
            return
        shape = (shape[0], len(channels), *shape[2:])
        node.inputs = [_in_front(graph, node, "select", {"channels": channels}, shape)]
    pads, stride = [0, 0, 0, 0], [1, 1]
    for axis, (start, end, step) in cuts.items():
        before, after = _cut(node, shape[axis], start, end)
        pads[axis - 2], pads[axis], stride[axis - 2] = -before, -after, step
    moved = {"factor": (1, 1), "repeat": 1, "pads": tuple(pads)}
    if stride == [1, 1]:
        node.op, node.inputs, node.attrs = "upsample", node.inputs[:1], moved
        return
    cut_shape = tuple(
        size if axis < 2 or size is None else size + pads[axis - 2] + pads[axis] for axis, size in enumerate(shape)
    )
    source = _in_front(graph, node, "upsample", moved, cut_shape) if any(pads) else node.inputs[0]
    node.op, node.inputs, node.attrs = "max_pool", [source], window_attrs((1, 1), (stride[0], stride[1]))


def _is_whole(size: int | None, cut: tuple[int, int, int]) -> bool:
    start, end, step = cut
    return start == 0 and step == 1 and (end >= (1 << 31) - 1 or (size is not None and end >= size))


def _cut(node: Node, size: int | None, start: int, end: int) -> tuple[int, int]:
    """How much is cut in front and behind."""
    if size is not None:
        first, last, _ = slice(start, end).indices(size)
        return first, size - max(last, first)
    if start < 0 or (0 <= end < (1 << 31) - 1):
        raise CompileError(
            f"{node.name}: rows and columns of a symbolic size must be counted from the start and to the end, "
            f"not {start}:{end}; export with a fixed size"
        )
    return start, 0 if end > 0 else -end


def _select(node: Node, channels: npt.NDArray[np.int64]) -> None:
    node.op, node.inputs, node.attrs = "select", node.inputs[:1], {"channels": channels}


def _in_front(graph: Graph, node: Node, op: str, attrs: dict[str, Any], shape: tuple[int | None, ...]) -> str:
    """Put a node in front of this one; return its result."""
    tensor = fresh_tensor(graph, f"{node.output}.{op}")
    graph.values[tensor] = Value(tensor, shape)
    graph.nodes.insert(
        graph.nodes.index(node), Node(op, fresh_node(graph, f"{node.name}.{op}"), node.inputs[:1], [tensor], attrs)
    )
    return tensor


_RULES: dict[str, Callable[[Graph, Node], None]] = {
    "Slice": _slice,
    "Split": _split,
    "Gather": _gather,
    "DepthToSpace": _depth_to_space,
}
