# SPDX-License-Identifier: Apache-2.0
"""Pair every DequantizeLinear with the QuantizeLinear it undoes: together they are one quantizer.

Between the two codes may be clipped and moved (pooled, reshaped, joined): the dequantizing goes in front of what moves. A
paired QuantizeLinear has the attributes "lo", "hi" (of n = q - zero point), "unit" (real value of one n) and "shift", what is
added to n: 0, or the zero point where codes themselves are wanted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.graph.clip import clip_limits
from bitlens.graph.graph import Graph, Node, Value
from bitlens.graph.linear_codes import along_axis, code_range, whole_zero_point
from bitlens.graph.quantizer import check_scale
from bitlens.graph.rewrite import bypass, drop_dead, fresh_node, fresh_tensor
from bitlens.graph.spec import CompileError

__all__ = ["pair_quantizers"]

_ONE = np.ones((), np.float32)
_MOVES = (
    *("MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Identity", "Concat", "Slice"),
    *("Resize", "Upsample", "GlobalMaxPool", "Pad", "DepthToSpace"),
)
_JOINS = ("Concat",)


def pair_quantizers(graph: Graph) -> None:
    """Leave no DequantizeLinear, and on every QuantizeLinear the integers that it makes.

    Raises:
        CompileError: what is dequantized was never quantized, or with another zero point.
    """
    waiting = [node for node in graph.nodes if node.op == "DequantizeLinear"]
    while waiting:
        node = waiting.pop()
        producer = graph.producer(node.inputs[0])
        if producer is None:
            _dequantize_input(graph, node)
        elif producer.op in _MOVES:
            waiting += _move_in_front(graph, node, producer)
        else:
            _pair(graph, node, producer)
    for node in graph.nodes:
        if node.op == "QuantizeLinear" and "lo" not in node.attrs:
            _keep_codes(graph, node)
    drop_dead(graph)


def _parameters(graph: Graph, node: Node) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any] | None]:
    """Scale, shaped to meet the tensor, and zero point."""
    for tensor in node.inputs[1:]:
        if tensor and tensor not in graph.constants:
            raise CompileError(f"{node.name}: {tensor} must be a constant, not computed; quantize the model statically")
    if node.attrs.get("block_size"):
        raise CompileError(f"{node.name}: block_size must be 0, not {node.attrs['block_size']}; quantize per channel")
    rank = len(graph.value(node.inputs[0]).shape or ())
    scale = along_axis(node.attrs, graph.constants[node.inputs[1]].astype(np.float32), rank)
    check_scale(node, scale)
    zero = graph.constants[node.inputs[2]] if len(node.inputs) > 2 and node.inputs[2] else None
    return scale, zero


def _paired(
    graph: Graph, node: Node, x: str, scale: npt.NDArray[np.float32], limits: tuple[int, int], **attrs: Any
) -> Node:
    """A quantizer whose result is that of `node`."""
    tensor = fresh_tensor(graph, f"{node.name}.scale")
    graph.constants[tensor] = np.asarray(scale, np.float32)
    graph.values[tensor] = Value(tensor, graph.constants[tensor].shape)
    name = fresh_node(graph, f"{node.name}.quant")
    return Node("QuantizeLinear", name, [x, tensor], [node.output], {"lo": limits[0], "hi": limits[1], **attrs})


def _replace(graph: Graph, node: Node, *nodes: Node) -> None:
    at = next(i for i, other in enumerate(graph.nodes) if other is node)
    graph.nodes[at : at + 1] = nodes


def _pair(graph: Graph, node: Node, producer: Node) -> None:
    lo, hi = -(1 << 31), (1 << 31) - 1
    while producer.op == "Clip":
        least, most = clip_limits(graph, producer)
        lo, hi = (int(limit) for limit in np.clip((np.ceil(least), np.floor(most)), lo, hi))
        before = graph.producer(producer.inputs[0])
        if before is None:
            break
        producer = before
    if producer.op != "QuantizeLinear":
        raise CompileError(
            f"{node.name}: input of DequantizeLinear must come from QuantizeLinear, not from {producer.op} "
            f"({producer.name}); quantize in front of it"
        )
    unit, zero = _parameters(graph, node)
    scale, own_zero = _parameters(graph, producer)
    shift, own_shift = whole_zero_point(node, zero), whole_zero_point(producer, own_zero)
    if shift != own_shift:
        raise CompileError(f"{node.name}: zero point must be that of {producer.name}, {own_shift}, not {shift}")
    least, most = code_range(producer, own_zero)
    limits = max(lo, least) - shift, min(hi, most) - shift
    if limits[0] > limits[1]:
        raise CompileError(f"{node.name}: clipped codes must be within {least}..{most}, not {lo}..{hi}")
    _replace(graph, node, _paired(graph, node, producer.inputs[0], scale, limits, unit=unit, shift=0))


def _dequantize_input(graph: Graph, node: Node) -> None:
    """Codes that come in from outside: n = q - zero point."""
    name = node.inputs[0]
    value = graph.value(name)
    if value.grid is None or name not in graph.inputs:
        raise CompileError(
            f"{node.name}: input of DequantizeLinear must be quantized, not float ({name}); quantize it first"
        )
    unit, zero = _parameters(graph, node)
    shift = whole_zero_point(node, zero)
    if shift == 0 and unit.ndim == 0 and len(graph.consumers(name)) == 1 and name not in graph.outputs:
        graph.values[name] = value.with_(scale=unit)
        bypass(graph, node)
        return
    moved, constant = fresh_tensor(graph, f"{name}.less"), fresh_tensor(graph, f"{node.name}.zero")
    graph.constants[constant] = np.asarray(shift, np.float32)
    graph.values[constant] = Value(constant, ())
    graph.values[moved] = Value(moved, value.shape)
    limits = value.grid.lo - shift, value.grid.hi - shift
    subtract = Node("Sub", fresh_node(graph, f"{node.name}.less"), [name, constant], [moved])
    _replace(graph, node, subtract, _paired(graph, node, moved, _ONE, limits, unit=unit, shift=0))


def _move_in_front(graph: Graph, node: Node, move: Node) -> list[Node]:
    """Move -> dequantize becomes dequantize -> move; returns the new dequantizing nodes."""
    if move.op == "Pad":
        _check_padding(graph, node, move)
    made = []
    sources = move.inputs if move.op in _JOINS else move.inputs[:1]
    for tensor in sources:
        moved = fresh_tensor(graph, f"{tensor}.real")
        graph.values[moved] = Value(moved, graph.value(tensor).shape)
        name = fresh_node(graph, f"{node.name}.{tensor}")
        made.append(Node("DequantizeLinear", name, [tensor, *node.inputs[1:]], [moved], {**node.attrs}))
    rest = [] if move.op in _JOINS else move.inputs[1:]
    if move.op == "Pad":
        rest = [rest[0], *([""] if len(rest) > 2 else []), *rest[2:]]  # zeros
    inputs = [*(other.output for other in made), *rest]
    copy = Node(move.op, fresh_node(graph, move.name), inputs, [node.output], {**move.attrs})
    _replace(graph, node, *made, copy)
    return made


def _check_padding(graph: Graph, node: Node, pad: Node) -> None:
    _, zero = _parameters(graph, node)
    value = graph.constants.get(pad.inputs[2], np.zeros(1)) if len(pad.inputs) > 2 and pad.inputs[2] else np.zeros(1)
    wanted = whole_zero_point(node, zero)
    if np.any(value != wanted):
        raise CompileError(
            f"{pad.name}: padding of codes must be their zero point {wanted}, not {float(value.flat[0]):g}; pad with it"
        )


def _keep_codes(graph: Graph, node: Node) -> None:
    """Codes that nothing dequantizes are integers of unit 1."""
    scale, zero = _parameters(graph, node)
    shift = whole_zero_point(node, zero)
    lo, hi = code_range(node, zero)
    _replace(graph, node, _paired(graph, node, node.inputs[0], scale, (lo - shift, hi - shift), unit=_ONE, shift=shift))
