# SPDX-License-Identifier: Apache-2.0
"""Arithmetic on integers of 8 bits is refused: ONNX computes it in their own type, where it wraps, we on real numbers."""

from __future__ import annotations

from bitlens.graph.graph import Graph
from bitlens.graph.spec import CompileError

__all__ = ["refuse_wrapping"]

_ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Neg", "Abs")
_SAME_TYPE = (
    *("Clip", "Concat", "DepthToSpace", "Flatten", "Gather", "GlobalMaxPool", "Identity", "Max", "MaxPool", "Min"),
    *("Pad", "ReduceMax", "Relu", "Reshape", "Resize", "Slice", "SpaceToDepth", "Split", "Squeeze", "Transpose"),
    *("Unsqueeze", "Upsample"),
)
_WIDE = (1 << 31) - 1  # numbers of rows, int32 and int64, reach no end of their type


def refuse_wrapping(graph: Graph) -> None:
    """Look at what reads integer inputs and the results of QuantizeLinear, up to a Cast or a product.

    Raises:
        CompileError: sums, products, quotients or signs are taken in an integer type.
    """
    narrow = {name for name in graph.inputs if (grid := graph.value(name).grid) is not None and grid.hi < _WIDE}
    for node in graph.nodes:
        if node.op == "QuantizeLinear":
            narrow.add(node.output)
        elif not narrow.isdisjoint(node.inputs):
            if node.op in _ARITHMETIC:
                raise CompileError(
                    f"{node.name}: {node.op} must be of real values, not of integers of 8 or 16 bits, which wrap; cast them "
                    "to FLOAT in front of it"
                )
            if node.op in _SAME_TYPE:
                narrow.add(node.output)
