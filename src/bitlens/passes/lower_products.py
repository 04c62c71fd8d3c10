# SPDX-License-Identifier: Apache-2.0
"""Turn Conv and Gemm into integer `conv` nodes.

Still in ONNX's order of axes: weights (O, C/groups, kh, kw). Until `find_grids` a conv node also holds "weight_scale", the
real value of one unit of its weights, () or (O,), and "real_bias", a `Tensor` of 1 or O numbers or None.

O output channels, C input channels, K = C*H*W inputs of a matrix product.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.core.grid import Grid
from bitlens.graph.graph import Graph, Node, Value
from bitlens.graph.ops import window_attrs
from bitlens.graph.rewrite import drop_dead, fresh_tensor
from bitlens.graph.spec import CompileError
from bitlens.passes.fold_constants import constant_tensor

__all__ = ["lower_products"]

_MOST_WEIGHT_BITS = 16  # uint8 weights with a zero point take 9


def lower_products(graph: Graph) -> None:
    """Lower every product of data with quantized constants.

    A matrix product of a flattened map becomes a convolution whose kernel is the whole map, of a vector a 1x1 convolution.

    Raises:
        CompileError: weights are not constant, not quantized, or quantized with more than 16 bits.
    """
    for node in [*graph.nodes]:
        if node.op == "Conv":
            _lower_conv(graph, node)
        elif node.op == "Gemm":
            _lower_gemm(graph, node)
    drop_dead(graph)


def _weights(graph: Graph, node: Node, tensor: str) -> tuple[npt.NDArray[np.int64], Grid, npt.NDArray[np.float32]]:
    """Integers, grid and unit of quantized weights."""
    if tensor not in graph.constants:
        raise CompileError(
            f"{node.name}: weights must be a constant, not computed ({tensor}); freeze the model before export"
        )
    value, integers = graph.value(tensor), graph.constants[tensor]
    if value.grid is None:
        raise CompileError(
            f"{node.name}: weights must be quantized, not float ({tensor}); put a Quant or BipolarQuant operator on them"
        )
    grid = _storage_grid(value.grid, integers)
    if grid is None:
        low, high = int(integers.min()), int(integers.max())
        raise CompileError(
            f"{node.name}: weights must be integers within -32768..32767, not {low}..{high}; use fewer bits"
        )
    if not np.all(np.isfinite(value.scale)) or np.any(value.scale < 0):  # what pools behind it would turn
        raise CompileError(
            f"{node.name}: scale of the weights must be positive, not {value.scale.min()}; fold the sign into the integers"
        )
    return integers, grid, value.scale


def _storage_grid(declared: Grid, integers: npt.NDArray[np.int64]) -> Grid | None:
    """The grid to store weights on, None where 16 bits do not hold them.

    QONNX writes an odd grid as the narrow one with the same ends; a zero point may shift a grid out of its type.
    """
    top = declared.hi
    if np.all(integers % 2) and declared.lo == -top and top & (top + 1) == 0:
        bits = top.bit_length()
        return Grid.odd(bits) if bits <= _MOST_WEIGHT_BITS else None
    named = [make(bits) for bits in range(2, _MOST_WEIGHT_BITS + 1) for make in (Grid.narrow, Grid.signed)]
    if declared in named:
        return declared
    return next((grid for grid in named if grid.contains(integers)), None)


def _per_output(node: Node, unit: npt.NDArray[np.float32], axis: int, rank: int) -> npt.NDArray[np.float32]:
    """The unit of weights as () or (O,)."""
    if unit.min() == unit.max():
        return np.asarray(unit.reshape(-1)[0], np.float32)
    aligned = unit.reshape((1,) * (rank - unit.ndim) + unit.shape)
    rows = np.moveaxis(aligned, axis, 0).reshape(aligned.shape[axis], -1)  # (O or 1, rest)
    if not np.all(rows == rows[:, :1]):
        raise CompileError(
            f"{node.name}: weight scale must be one number or one per output channel, not of shape {unit.shape}; "
            "quantize per tensor or per output channel"
        )
    return np.asarray(rows[:, 0])


def _lower_conv(graph: Graph, node: Node) -> None:
    integers, grid, unit = _weights(graph, node, node.inputs[1])
    scale = _per_output(node, unit, 0, integers.ndim)
    window = window_attrs(*(node.attrs[name] for name in ("kernel_shape", "strides", "pads", "dilations")))
    _become_conv(graph, node, integers, grid, scale, {**window, "groups": node.attrs["group"]})


def _lower_gemm(graph: Graph, node: Node) -> None:
    if node.inputs[0] in graph.constants:
        raise CompileError(f"{node.name}: weights must be the second operand, not the first; transpose the product")
    if node.attrs["transA"] or not node.attrs["alpha"] > 0:
        raise CompileError(
            f"{node.name}: Gemm must have transA 0 and alpha above 0, not {node.attrs['transA']} and "
            f"{node.attrs['alpha']:g}; transpose the data, or fold the factor into the weights"
        )
    integers, grid, unit = _weights(graph, node, node.inputs[1])
    unit = np.asarray(unit * np.float32(node.attrs["alpha"]), np.float32)
    if len(node.inputs) > 2 and node.attrs["beta"] != 1:
        _scale_bias(graph, node)
    axis = 0 if node.attrs["transB"] else 1
    scale = _per_output(node, unit, axis, 2)
    rows = integers if node.attrs["transB"] else integers.T  # (O, K)
    shape = _take_in_flatten(graph, node, rows.shape[1])
    weights = rows.reshape(len(rows), *shape)  # (O, K) -> (O, C, H, W)
    _become_conv(graph, node, weights, grid, scale, {**window_attrs(shape[1:]), "groups": 1})


def _scale_bias(graph: Graph, node: Node) -> None:
    """Beta * C as a constant of its own."""
    bias = node.inputs[2]
    if bias not in graph.constants:
        raise CompileError(
            f"{node.name}: bias must be a constant, not computed ({bias}); freeze the model before export"
        )
    name = fresh_tensor(graph, f"{bias}.beta")
    graph.constants[name] = constant_tensor(graph, bias).real.astype(np.float32) * np.float32(node.attrs["beta"])
    graph.values[name] = Value(name, graph.constants[name].shape)
    node.inputs[2] = name


def _take_in_flatten(graph: Graph, node: Node, columns: int) -> tuple[int, int, int]:
    """Let the product read the map that a Reshape in front of it flattens; (C, H, W) of what it reads now."""
    shape = graph.value(node.inputs[0]).shape or ()
    reshape = graph.producer(node.inputs[0])
    if reshape is not None and reshape.op == "Reshape":
        before = graph.value(reshape.inputs[0]).shape or ()
        if len(before) == 4:
            if None in before[1:]:
                raise CompileError(
                    f"{node.name}: map in front must have a fixed height and width, not {before}; export with a fixed size"
                )
            if len(shape) != 2 or before[1] * before[2] * before[3] != columns:  # type: ignore[operator]
                raise CompileError(
                    f"{node.name}: map in front must be flattened whole, one row an image, not from {before} to {shape}; "
                    "flatten from axis 1"
                )
            node.inputs[0] = reshape.inputs[0]
            shape = before
    sizes = [size or 1 for size in (*shape[1:], 1, 1)[:3]]
    return sizes[0], sizes[1], sizes[2]


def _become_conv(
    graph: Graph,
    node: Node,
    weights: npt.NDArray[np.int64],
    grid: Grid,
    scale: npt.NDArray[np.float32],
    attrs: dict[str, Any],
) -> None:
    bias, op = node.inputs[2] if len(node.inputs) > 2 else "", node.op
    node.op, node.inputs = "conv", node.inputs[:1]
    node.attrs = {
        **attrs,
        "weights": weights,
        "weight_grid": grid,
        "weight_scale": scale,
        "bias": None,
        "real_bias": None,
    }
    if not bias:
        return
    if bias not in graph.constants:
        raise CompileError(
            f"{node.name}: bias must be a constant, not computed ({bias}); freeze the model before export"
        )
    shape = graph.constants[bias].shape
    one_a_column = shape[-1:] == (math.prod(shape),) or not shape  # (M, 1) of a Gemm is one a row
    if not one_a_column or math.prod(shape) not in ((1, len(weights)) if op == "Gemm" else (len(weights),)):
        raise CompileError(f"{node.name}: bias must have {len(weights)} numbers, one an output, not shape {shape}")
    numbers = constant_tensor(graph, bias).moved(np.ravel)
    if np.any(numbers.real):
        node.attrs["real_bias"] = numbers
