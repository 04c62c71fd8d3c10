# SPDX-License-Identifier: Apache-2.0
"""Write products of codes (QLinearConv, QLinearMatMul, ConvInteger, MatMulInteger) as products of dequantized tensors.

    QLinearConv = QuantizeLinear(Conv(x - zero, w - zero) * (x_scale w_scale / y_scale)), units of 1 all through

The gain is one float32 number a channel, as ONNX Runtime multiplies.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.core.grid import Grid
from bitlens.graph.graph import Graph, Node, Value
from bitlens.graph.linear_codes import along_axis
from bitlens.graph.rewrite import drop_dead, fresh_node, fresh_tensor
from bitlens.graph.spec import CompileError

__all__ = ["expand_integer_products"]

_PRODUCTS = {"QLinearConv": "Conv", "ConvInteger": "Conv", "QLinearMatMul": "MatMul", "MatMulInteger": "MatMul"}


def expand_integer_products(graph: Graph) -> None:
    """Replace every product of codes.

    Raises:
        CompileError: weights, scales or zero points are computed.
    """
    for node in [*graph.nodes]:
        if node.op not in _PRODUCTS:
            continue
        at = graph.nodes.index(node)
        made = _linear(graph, node) if node.op.startswith("QLinear") else _integer(graph, node)
        graph.nodes[at : at + 1] = made
    drop_dead(graph)


def _integer(graph: Graph, node: Node) -> list[Node]:
    x, weight, x_zero, weight_zero = (*node.inputs, "", "")[:4]
    codes, source = _dequantize(graph, node, x, x_zero)
    product = _PRODUCTS[node.op]
    weights = _weights(graph, node, weight, weight_zero)
    return [codes, Node(product, node.name, [source, weights], [node.output], node.attrs)]


def _linear(graph: Graph, node: Node) -> list[Node]:
    x, x_scale, x_zero, weight, weight_scale, weight_zero, out_scale, out_zero, bias = (*node.inputs, "")[:9]
    codes, source = _dequantize(graph, node, x, x_zero)
    operands = [source, _weights(graph, node, weight, weight_zero)]
    if bias:
        operands.append(_quantized(graph, f"{bias}.sums", _constant(graph, node, bias, "bias").astype(np.int64)))
    shape = graph.value(node.output).shape or ()
    gain = (
        _constant(graph, node, x_scale, "scale")
        * _constant(graph, node, weight_scale, "scale")
        / _constant(graph, node, out_scale, "scale")
    )
    factor = _real(graph, f"{node.name}.gain", along_axis({"axis": 1}, np.asarray(gain, np.float32), len(shape)))
    sums, scaled = (fresh_tensor(graph, f"{node.output}.{part}") for part in ("sums", "scaled"))
    for tensor in (sums, scaled):
        graph.values[tensor] = Value(tensor, shape)
    quantized = Node(
        "QuantizeLinear",
        fresh_node(graph, f"{node.name}.codes"),
        [scaled, _real(graph, f"{node.name}.one", np.ones((), np.float32)), out_zero],
        [node.output],
        {"axis": 1, "block_size": 0, "output_dtype": 0, "saturate": 1},
    )
    return [
        codes,
        Node(_PRODUCTS[node.op], node.name, operands, [sums], node.attrs),
        Node("Mul", fresh_node(graph, f"{node.name}.gain"), [sums, factor], [scaled]),
        quantized,
    ]


def _dequantize(graph: Graph, node: Node, x: str, zero: str) -> tuple[Node, str]:
    """A DequantizeLinear of unit 1, and its result."""
    result = fresh_tensor(graph, f"{x}.integers")
    graph.values[result] = Value(result, graph.value(x).shape)
    one = _real(graph, f"{x}.unit", np.ones((), np.float32))
    operands = [x, one, *([zero] if zero else [])]
    attrs = {"axis": 1, "block_size": 0, "output_dtype": 0}
    return Node("DequantizeLinear", fresh_node(graph, f"{node.name}.integers"), operands, [result], attrs), result


def _weights(graph: Graph, node: Node, weight: str, zero: str) -> str:
    codes = _constant(graph, node, weight, "weights").astype(np.int64)
    axis = 0 if _PRODUCTS[node.op] == "Conv" else codes.ndim - 1
    shift = _constant(graph, node, zero, "zero point").astype(np.int64) if zero else np.zeros((), np.int64)
    return _quantized(graph, f"{weight}.integers", codes - along_axis({"axis": axis}, shift, codes.ndim))


def _constant(graph: Graph, node: Node, tensor: str, what: str) -> npt.NDArray[Any]:
    if tensor not in graph.constants:
        raise CompileError(
            f"{node.name}: {what} must be a constant, not computed ({tensor}); freeze the model before export"
        )
    return graph.constants[tensor]


def _quantized(graph: Graph, wish: str, integers: npt.NDArray[np.int64]) -> str:
    name = fresh_tensor(graph, wish)
    graph.constants[name] = integers
    grid = Grid.span(int(integers.min()), int(integers.max()))
    graph.values[name] = Value(name, integers.shape, grid, np.ones((), np.float32))
    return name


def _real(graph: Graph, wish: str, array: npt.NDArray[np.float32]) -> str:
    name = fresh_tensor(graph, wish)
    graph.constants[name] = array
    graph.values[name] = Value(name, array.shape)
    return name
