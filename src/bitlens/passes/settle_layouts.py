# SPDX-License-Identifier: Apache-2.0
"""Bring channels-last parts of a model into ONNX's own order, so that no Transpose is left; columns become rows likewise.

    first = Transpose (N, H, W, C) -> (N, C, H, W), goes up;   last = Transpose (N, C, H, W) -> (N, H, W, C), goes down
    first = Transpose (K, N) -> (N, K), goes up;               last = Transpose (N, K) -> (K, N), goes down

A product W x of columns x is the transposed product of rows and transposed weights. Transposes pass what acts on single
numbers, cancel where they meet, and end at inputs and outputs (whose arrays are channels last in any case), at means over
the map, and in the order of the rows of a matrix behind a flattened map.
"""

from __future__ import annotations

import numpy as np

from bitlens.core.functions import FUNCTIONS
from bitlens.graph.graph import Graph, Node, Value
from bitlens.graph.infer_shapes import infer_shapes
from bitlens.graph.rewrite import bypass, drop_dead, fresh_node, fresh_tensor, replace_tensor
from bitlens.graph.spec import IMPORTED_OPS, REQUIRED, CompileError
from bitlens.passes.fold_constants import fold_constants

__all__ = ["expand_channels_last", "settle_layouts"]

_FIRST, _LAST = (0, 3, 1, 2), (0, 2, 3, 1)
_ROWS = (1, 0)  # and back
_DOMAIN = "qonnx.custom_op.channels_last::"
_QUANTIZERS = ("Quant", "BipolarQuant", "QuantizeLinear", "DequantizeLinear", "Trunc", "MultiThreshold")
_ELEMENTWISE = (
    *_QUANTIZERS,
    *("Mul", "Add", "Sub", "Div", "Neg", "Abs", "Relu", "LeakyRelu", "PRelu", "Clip", "Sigmoid", "Tanh", "HardTanh"),
    *("HardSigmoid", "Sign", "Identity", "Cast", "Dropout", "Concat"),
    *FUNCTIONS,
)


def expand_channels_last(graph: Graph) -> None:
    """Write operators of QONNX's channels-last domain as ONNX's, between two Transposes."""
    for node in [*graph.nodes]:
        if node.op.startswith(_DOMAIN):
            node.op = node.op.removeprefix(_DOMAIN)
            rule = IMPORTED_OPS.get(node.op)
            usual = {} if rule is None else {key: value for key, value in rule.attrs.items() if value is not REQUIRED}
            node.attrs = usual | node.attrs
            for place in (0, 1) if node.op == "Conv" else (0,):  # weights (O, kh, kw, C) too
                if len(node.inputs) <= place:
                    raise CompileError(f"{node.name}: {node.op} must have {place + 1} inputs, not {len(node.inputs)}")
                node.inputs[place] = _transposed(graph, node.inputs[place], before=node)
            _transpose_result(graph, node)


def settle_layouts(graph: Graph) -> None:
    """Remove Transposes between the two orders; a graph without them is left as it is. What cannot be removed stays."""
    columns = any(graph.value(name).shape is not None and _is_column(graph, name) for name in graph.inputs)
    if not columns and not any(node.op == "Transpose" for node in graph.nodes):
        return
    fold_constants(graph)
    infer_shapes(graph)
    for node in [*graph.nodes]:
        if node.op == "MatMul" and _is_column(graph, node.inputs[1]) and node.inputs[0] in graph.constants:
            _turn_product(graph, node)
    while any(_step(graph, node) for node in [*graph.nodes] if node.op == "Transpose"):
        drop_dead(graph)
    drop_dead(graph)


def _is_column(graph: Graph, tensor: str) -> bool:
    """Whether a tensor is (K, N), the batch behind."""
    shape = graph.value(tensor).shape or ()
    return tensor not in graph.constants and len(shape) == 2 and shape[0] is not None and shape[1] is None


def _is_first(graph: Graph, node: Node) -> bool:
    if node.op != "Transpose":
        return False
    return node.attrs["perm"] == _FIRST or (node.attrs["perm"] == _ROWS and _is_column(graph, node.inputs[0]))


def _is_last(graph: Graph, node: Node) -> bool:
    if node.op != "Transpose":
        return False
    return node.attrs["perm"] == _LAST or (node.attrs["perm"] == _ROWS and _is_column(graph, node.output))


def _turn_product(graph: Graph, node: Node) -> None:
    """W x -> (x^T W^T)^T."""
    name = fresh_tensor(graph, f"{node.inputs[0]}.transposed")
    value = graph.value(node.inputs[0])
    weights = graph.constants[name] = np.ascontiguousarray(graph.constants[node.inputs[0]].T)
    scale = value.scale.T if value.scale.ndim == 2 else value.scale
    graph.values[name] = value.with_(name=name, shape=weights.shape, scale=scale)
    node.inputs = [_transposed(graph, node.inputs[1], before=node), name]
    _transpose_result(graph, node)


def _step(graph: Graph, node: Node) -> bool:
    """Move or remove one Transpose; tell whether something changed."""
    if _is_first(graph, node):
        return _go_up(graph, node)
    return _is_last(graph, node) and _go_down(graph, node)


def _go_up(graph: Graph, node: Node) -> bool:
    source = node.inputs[0]
    producer = graph.producer(source)
    if producer is None:
        if source not in graph.inputs or any(not _is_first(graph, other) for other in graph.consumers(source)):
            return False
        shape = graph.value(node.output).shape
        for other in graph.consumers(source):
            bypass(graph, other)
        graph.values[source] = graph.value(source).with_(shape=shape)
        return True
    if _is_last(graph, producer):
        replace_tensor(graph, node.output, producer.inputs[0])
        graph.nodes = [other for other in graph.nodes if other is not node]
        return True
    return producer.op in _ELEMENTWISE and _turn(graph, producer)


def _go_down(graph: Graph, node: Node) -> bool:
    if node.output in graph.outputs and not graph.consumers(node.output):
        bypass(graph, node)  # arrays of outputs are channels last in any case
        return True
    changed = False
    for reader in graph.consumers(node.output):
        if reader.op in _ELEMENTWISE:
            changed |= _turn(graph, reader)
        elif reader.op in ("ReduceMean", "ReduceMax"):
            changed |= _turn_mean(graph, node, reader)
        elif reader.op in ("Reshape", "Flatten"):
            changed |= _turn_rows(graph, node, reader)
    return changed


def _turn(graph: Graph, node: Node) -> bool:
    """Let a node on (N, H, W, C) work on (N, C, H, W), one on (K, N) on (N, K), between two Transposes."""
    data = [tensor for tensor in node.inputs if tensor and tensor not in graph.constants]
    ranks = {len(graph.value(tensor).shape or ()) for tensor in data}
    if len(ranks) != 1 or not ranks <= {2, 4} or (ranks == {2} and not all(_is_column(graph, t) for t in data)):
        return False
    (rank,) = ranks
    for place, tensor in enumerate(node.inputs):
        if tensor in graph.constants:
            if node.op not in ("QuantizeLinear", "DequantizeLinear", "MultiThreshold", "Clip"):
                node.inputs[place] = _turned_constant(graph, tensor, rank)
        elif tensor:
            node.inputs[place] = _transposed(graph, tensor, before=node)
    if "axis" in node.attrs:
        node.attrs["axis"] = _orders(rank)[0].index(node.attrs["axis"] % rank)
    if node.op == "MultiThreshold":
        node.attrs["data_layout"] = {4: "NCHW", 2: "NC"}[rank]
    _transpose_result(graph, node)
    return True


def _orders(rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The permutations to the usual order and back."""
    return (_FIRST, _LAST) if rank == 4 else (_ROWS, _ROWS)


def _turned_constant(graph: Graph, tensor: str, rank: int) -> str:
    """A constant that meets (N, H, W, C), to meet (N, C, H, W)."""
    array = graph.constants[tensor]
    if array.size == 1:
        return tensor
    name = fresh_tensor(graph, f"{tensor}.first")
    graph.constants[name] = array.reshape((1,) * (rank - array.ndim) + array.shape).transpose(_orders(rank)[0])
    graph.values[name] = Value(name, graph.constants[name].shape)
    return name


def _transposed(graph: Graph, tensor: str, before: Node) -> str:
    """A tensor in the usual order."""
    name = fresh_tensor(graph, f"{tensor}.first")
    shape = graph.value(tensor).shape or ()
    perm = _orders(len(shape) or 4)[0]
    graph.values[name] = Value(name, tuple(shape[axis] for axis in perm) if shape else None)
    node = Node("Transpose", fresh_node(graph, name), [tensor], [name], {"perm": perm})
    graph.nodes.insert(graph.nodes.index(before), node)
    return name


def _transpose_result(graph: Graph, node: Node) -> None:
    """Let the node's result be transposed back into the tensor that its readers know."""
    result = node.outputs[0]
    name = fresh_tensor(graph, f"{result}.first")
    shape = graph.value(result).shape or ()
    first, last = _orders(len(shape) or 4)
    graph.values[name] = Value(name, tuple(shape[axis] for axis in first) if shape else None)
    node.outputs[0] = name
    back = Node("Transpose", fresh_node(graph, f"{result}.last"), [name], [result], {"perm": last})
    graph.nodes.insert(graph.nodes.index(node) + 1, back)


def _turn_mean(graph: Graph, node: Node, reader: Node) -> bool:
    axes = graph.constants.get(reader.inputs[1]) if len(reader.inputs) > 1 else None
    if axes is None or sorted(int(axis) % 4 for axis in axes.reshape(-1)) != [1, 2] or reader.attrs["keepdims"]:
        return False
    name = fresh_tensor(graph, f"{reader.inputs[1]}.first")
    graph.constants[name] = np.array([2, 3], np.int64)
    graph.values[name] = Value(name, (2,))
    reader.inputs = [node.inputs[0], name]
    return True


def _turn_rows(graph: Graph, node: Node, reader: Node) -> bool:
    """A map flattened channels last in front of matrices: their rows change places instead."""
    _, height, width, channels = graph.value(node.output).shape or (None,) * 4
    flat = graph.value(reader.output).shape or ()
    readers = _matrices(graph, reader.output)
    if None in (height, width, channels) or len(flat) != 2 or readers is None:
        return False
    order = np.arange(flat[1] or 0).reshape(height or 0, width or 0, channels or 0).transpose(2, 0, 1).reshape(-1)
    for matrix in readers:
        axis = 1 if matrix.op == "Gemm" and matrix.attrs["transB"] else 0
        value, array = graph.value(matrix.inputs[1]), graph.constants[matrix.inputs[1]]
        name = fresh_tensor(graph, f"{matrix.inputs[1]}.first")
        scale = value.scale
        if scale.ndim == array.ndim and scale.shape[axis] != 1:
            scale = np.take(scale, order, axis)
        graph.constants[name] = np.take(array, order, axis)
        graph.values[name] = value.with_(name=name, scale=scale)
        matrix.inputs[1] = name
    reader.inputs[0] = node.inputs[0]
    return True


def _matrices(graph: Graph, tensor: str) -> list[Node] | None:
    """The matrix products behind a vector and behind what acts on its numbers alike; None where something else reads it."""
    if tensor in graph.outputs:
        return None
    found: list[Node] = []
    for reader in graph.consumers(tensor):
        if reader.op in ("Gemm", "MatMul") and reader.inputs[0] == tensor and reader.inputs[1] in graph.constants:
            found.append(reader)
            continue
        constants = [graph.constants[name] for name in reader.inputs if name in graph.constants]
        if reader.op not in _ELEMENTWISE or any(array.size > 1 for array in constants):
            return None
        behind = _matrices(graph, reader.output)
        if behind is None:
            return None
        found += behind
    return found
