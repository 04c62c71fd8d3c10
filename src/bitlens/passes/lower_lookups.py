# SPDX-License-Identifier: Apache-2.0
"""Turn a Gather of constant rows by computed numbers into `lookup` of a table of integers.

What acts on single numbers behind it acts on the table instead, its quantizer included: Q(table)[token] is Q(table[token]).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.core.grid import Grid
from bitlens.graph.graph import Graph, Node
from bitlens.graph.rewrite import drop_dead, fresh_node, fresh_tensor
from bitlens.graph.spec import CompileError
from bitlens.passes.fold_constants import fold_constants

__all__ = ["lower_lookups"]

_MOST_BITS = 16
_PASSES = (
    *("Quant", "BipolarQuant", "QuantizeLinear", "DequantizeLinear", "Clip", "Relu", "LeakyRelu", "Sigmoid", "Tanh"),
    *("HardTanh", "HardSigmoid", "Sign", "Abs", "Neg", "Mul", "Add", "Sub", "Div", "Identity", "Dropout", "Cast"),
)


def lower_lookups(graph: Graph) -> None:
    """Lower every Gather of constants whose numbers are computed.

    Until `find_grids` a lookup node also holds "table_scale", the unit of its integers.

    Raises:
        CompileError: the table is no matrix, or is not quantized before something else reads it.
    """
    while any(_pass_one(graph, node) for node in [*graph.nodes] if _is_lookup(graph, node)):
        fold_constants(graph)
        drop_dead(graph)
    for node in graph.nodes:
        if _is_lookup(graph, node):
            _lower(graph, node)


def _is_lookup(graph: Graph, node: Node) -> bool:
    return node.op == "Gather" and node.inputs[0] in graph.constants and node.inputs[1] not in graph.constants


def _pass_one(graph: Graph, lookup: Node) -> bool:
    """Let an operator that reads the looked-up rows work on the table; tell whether there was one."""
    for reader in graph.consumers(lookup.output):
        constants = [tensor for tensor in reader.inputs if tensor and tensor != lookup.output]
        if reader.op not in _PASSES or not all(tensor in graph.constants for tensor in constants):
            continue
        shapes = [graph.constants[tensor].shape for tensor in constants]
        if any(len(shape) > 2 or (len(shape) == 2 and shape[0] != 1) for shape in shapes):
            continue  # not the same for every row
        table = fresh_tensor(graph, f"{lookup.inputs[0]}.{reader.op.lower()}")
        result = reader.outputs[0]
        inputs = [lookup.inputs[0] if tensor == lookup.output else tensor for tensor in reader.inputs]
        on_table = Node(reader.op, reader.name, inputs, [table], reader.attrs)
        again = Node(
            lookup.op, fresh_node(graph, lookup.name + ".row"), [table, lookup.inputs[1]], [result], lookup.attrs
        )
        place = next(i for i, node in enumerate(graph.nodes) if node is reader)
        graph.nodes[place : place + 1] = [on_table, again]
        return True
    return False


def _lower(graph: Graph, node: Node) -> None:
    value, table = graph.value(node.inputs[0]), graph.constants[node.inputs[0]]
    numbers = graph.value(node.inputs[1]).shape or ()
    if table.ndim != 2 or node.attrs["axis"] % max(1, table.ndim) or len(numbers) != 1:
        raise CompileError(
            f"{node.name}: Gather must take rows of a matrix by one number a sample, "
            f"not along axis {node.attrs['axis']} of {table.shape} by {numbers}; export one step with numbers (N,)"
        )
    if value.grid is None:
        raise CompileError(f"{node.name}: table must be quantized, not float; put a quantizer behind the lookup")
    grid = _storage_grid(value.grid, table)
    if grid.bits > _MOST_BITS:
        raise CompileError(f"{node.name}: table must have at most {_MOST_BITS} bits, not {grid.bits}; use fewer bits")
    scale = np.asarray(value.scale)
    if scale.ndim:
        rows = np.broadcast_to(scale, table.shape)
        if not np.all(rows == rows[:1]):
            raise CompileError(f"{node.name}: scale of the table must be one number or one per column, not one per row")
        scale = rows[0].copy()
    node.op, node.inputs = "lookup", [node.inputs[1]]
    node.attrs = {"table": table.astype(np.int32), "table_grid": grid, "table_scale": scale.astype(np.float32)}


def _storage_grid(declared: Grid, table: npt.NDArray[Any]) -> Grid:
    """The declared grid where it holds the table, else the integers between the table's ends."""
    return declared if declared.contains(table) else Grid.span(int(table.min()), int(table.max()))
