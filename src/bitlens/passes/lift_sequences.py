# SPDX-License-Identifier: Apache-2.0
"""Write models of sequences (N, C, L) as models of maps of height 1, (N, C, 1, L).

Comes before everything else: from here on, convolutions, pools and per-channel constants have one form.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bitlens.graph.graph import Graph, Node
from bitlens.graph.rewrite import fresh_tensor
from bitlens.graph.spec import TAIL_OPS, CompileError
from bitlens.passes.fold_constants import fold_constants

__all__ = ["lift_sequences"]

_FLAT = ("Flatten", "Gemm", "MatMul", "MatMulInteger", "QLinearMatMul")
_WINDOWS = ("Conv", "ConvInteger", "QLinearConv", "ConvTranspose", "MaxPool", "AveragePool")
_WEIGHTS = {"Conv": 1, "ConvInteger": 1, "ConvTranspose": 1, "QLinearConv": 3}


def lift_sequences(graph: Graph) -> None:
    """Give every sequence a height of 1; a graph without sequences is left as it is.

    Raises:
        CompileError: an operator moves the axes of a sequence in a way that maps of height 1 do not have.
    """
    if all(len(graph.value(name).shape or ()) != 3 for name in graph.inputs):
        return
    fold_constants(graph)  # whatever stands between a constant and the node that meets a sequence
    ranks: dict[str, int | None] = {}
    for name in graph.inputs:
        shape = graph.value(name).shape or ()
        ranks[name] = len(shape)
        if len(shape) == 3:
            graph.values[name] = graph.value(name).with_(shape=(*shape[:2], 1, shape[2]))
    for node in [*graph.nodes]:
        data = [ranks[tensor] for tensor in node.inputs if tensor in ranks]
        rank = max((r for r in data if r is not None), default=None)
        if data:
            ranks[node.outputs[0]] = _lift(graph, node, rank)


def _lift(graph: Graph, node: Node, rank: int | None) -> int | None:
    """Rewrite a node that reads data of this rank; return the rank of its result."""
    if node.op in _FLAT:
        return 2
    if node.op == "Reshape":
        return _reshape(graph, node)
    if node.op == "Unsqueeze" and rank == 2:
        return _lift_axes(graph, node, lambda axes: (2, 3) if axes in ((2,), (-1,)) else None, 3)
    if rank != 3:
        return rank
    if node.op in _WINDOWS:
        for name in ("kernel_shape", "strides", "dilations", "output_padding", "pads"):
            if node.attrs.get(name) is not None:
                node.attrs[name] = _lifted_window(node, name)
        if node.op in _WEIGHTS:
            _lift_constant(graph, node, _WEIGHTS[node.op])
        return 3
    if node.op == "Squeeze":
        return _lift_axes(graph, node, lambda axes: (2, 3) if axes in ((2,), (-1,), ()) else None, 2)
    if node.op in ("ReduceMean", "ReduceMax"):
        _lift_axes(graph, node, lambda axes: (2, 3) if axes in ((2,), (-1,)) else None, 3)
        return 3 if node.attrs["keepdims"] else 2
    if node.op in ("Concat", *(op for op in TAIL_OPS if op != "Sigmoid")):
        node.attrs["axis"] = 3 if node.attrs["axis"] in (2, -1) else node.attrs["axis"]
        return 3
    if node.op in (
        "Transpose",
        "Slice",
        "Pad",
        "Resize",
        "Upsample",
        "Gather",
        "DepthToSpace",
        "SpaceToDepth",
        "Split",
    ):
        raise CompileError(f"{node.name}: {node.op} must not act on a sequence (N, C, L); export the model with maps")
    if node.op == "MultiThreshold":
        if node.attrs["data_layout"] not in ("NCW", "NCL", "NCT"):
            raise CompileError(
                f"{node.name}: data_layout of a sequence must be NCW, not {node.attrs['data_layout'] or 'NWC'}; write it"
            )
        node.attrs["data_layout"] = "NCHW"
        return 3
    for place, tensor in enumerate(node.inputs):
        if tensor in graph.constants and graph.constants[tensor].ndim in (2, 3):
            _lift_constant(graph, node, place)
    return 3


def _lifted_window(node: Node, name: str) -> tuple[int, ...]:
    numbers = node.attrs[name]
    if len(numbers) != (2 if name == "pads" else 1):
        raise CompileError(f"{node.name}: {name} of a sequence must be those of one axis, not {numbers}")
    if name == "pads":
        return (0, numbers[0], 0, numbers[1])
    return ((0 if name == "output_padding" else 1), *numbers)


def _lift_constant(graph: Graph, node: Node, place: int) -> None:
    """A constant that meets a sequence: (C, 1) -> (C, 1, 1), (O, C, k) -> (O, C, 1, k)."""
    tensor = node.inputs[place]
    if tensor not in graph.constants or graph.constants[tensor].ndim < 2:
        return  # refused where its value or its shape is needed
    name, value = fresh_tensor(graph, f"{tensor}.lifted"), graph.value(tensor)
    array = graph.constants[name] = np.expand_dims(graph.constants[tensor], -2)
    scale = np.expand_dims(value.scale, -2) if value.scale.ndim else value.scale
    graph.values[name] = value.with_(name=name, shape=array.shape, scale=scale)
    node.inputs[place] = name


def _lift_axes(graph: Graph, node: Node, lifted: Callable[[tuple[int, ...]], tuple[int, ...] | None], rank: int) -> int:
    axes: tuple[Any, ...] = ()
    if len(node.inputs) > 1:
        if node.inputs[1] not in graph.constants:
            raise CompileError(f"{node.name}: axes must be constant, not computed ({node.inputs[1]})")
        axes = tuple(int(axis) for axis in graph.constants[node.inputs[1]].reshape(-1))
    found = lifted(axes)
    if found is None:
        raise CompileError(f"{node.name}: axes of {node.op} must be the sequence's last, not {axes}; export it so")
    name = fresh_tensor(graph, f"{node.name}.axes")
    graph.constants[name] = np.array(found, np.int64)
    node.inputs = [node.inputs[0], name]
    return rank


def _reshape(graph: Graph, node: Node) -> int | None:
    if node.inputs[1] not in graph.constants:
        return None
    sizes = graph.constants[node.inputs[1]].reshape(-1)
    if len(sizes) == 3:
        name = fresh_tensor(graph, f"{node.inputs[1]}.lifted")
        graph.constants[name] = np.array([*sizes[:2], 1, sizes[2]], np.int64)
        node.inputs[1] = name
    return len(sizes)
