# SPDX-License-Identifier: Apache-2.0
"""Compute what does not depend on the input; a quantized constant becomes integers with a grid and a unit.

Weights that are whole numbers without a quantizer, as FINN writes them, are integers of unit 1.
"""

from __future__ import annotations

import numpy as np

from bitlens.core.grid import Grid, GridError
from bitlens.graph.execute import Tensor, execute_node
from bitlens.graph.graph import Graph, Node, Value
from bitlens.graph.quantizer import read_quantizer
from bitlens.graph.rewrite import drop_dead
from bitlens.graph.spec import CompileError

__all__ = ["constant_tensor", "fold_constants"]

_PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_MOST_WEIGHT = 128


def fold_constants(graph: Graph) -> None:
    """Replace every node whose inputs are all constant by its result.

    A constant that went through a quantizer is kept as int64; its `Value` has the grid, and as `scale` the unit with as many
    axes as the constant (or none).

    Raises:
        CompileError: a node's operands do not fit each other.
    """
    kept: list[Node] = []
    for node in graph.nodes:
        if not all(tensor in graph.constants for tensor in node.inputs if tensor):
            kept.append(node)
            continue
        tensor = execute_node(graph, node, [constant_tensor(graph, name) if name else None for name in node.inputs])
        _keep(graph, node, tensor)
    graph.nodes = kept
    drop_dead(graph)
    for node in graph.nodes:
        if node.op in _PRODUCTS:
            for operand in node.inputs[:2]:
                _adopt_whole_weights(graph, node, operand)


def constant_tensor(graph: Graph, name: str) -> Tensor:
    """A constant with its integers, if it has any."""
    value, array = graph.value(name), graph.constants[name]
    return Tensor(array) if value.grid is None else Tensor.quantized(array, value.scale)


def _adopt_whole_weights(graph: Graph, node: Node, tensor: str) -> None:
    array = graph.constants.get(tensor)
    if array is None or array.dtype != np.float32 or array.size == 0 or graph.value(tensor).grid is not None:
        return
    inserts_zeros = node.op == "ConvTranspose" and array.shape == (node.attrs["group"], 1, 1, 1) and np.all(array == 1)
    if np.all(np.abs(array) <= _MOST_WEIGHT) and np.array_equal(array, np.rint(array)) and not inserts_zeros:
        lo, hi = int(array.min()), int(array.max())
        graph.constants[tensor] = array.astype(np.int64)
        unit = np.ones((), np.float32)
        graph.values[tensor] = Value(tensor, array.shape, Grid.span(lo, hi), unit)


def _keep(graph: Graph, node: Node, tensor: Tensor) -> None:
    name = node.outputs[0]
    graph.constants[name] = tensor.real
    graph.values[name] = Value(name, tensor.real.shape)
    if tensor.integers is not None and tensor.unit is not None and tensor.integers.size:
        graph.constants[name] = tensor.integers
        graph.values[name] = Value(name, tensor.real.shape, _grid(graph, node, tensor), tensor.unit)


def _grid(graph: Graph, node: Node, tensor: Tensor) -> Grid:
    if node.op in ("Quant", "BipolarQuant"):
        return read_quantizer(graph, node).grid
    before = graph.value(node.inputs[0]).grid  # moved elements keep their grid
    if before is not None and tensor.integers is not None and before.contains(tensor.integers):
        return before
    assert tensor.integers is not None
    lo, hi = int(tensor.integers.min()), int(tensor.integers.max())
    try:
        return Grid.span(lo, hi)
    except GridError as error:
        raise CompileError(
            f"{node.name}: integers must fit 32 bits, not reach [{lo}, {hi}]; repair the file"
        ) from error
