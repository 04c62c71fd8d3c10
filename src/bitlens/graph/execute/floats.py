# SPDX-License-Identifier: Apache-2.0
"""Reference rules of products and means of real values, for float islands: float64 sums, rounded once to float32.

Where both operands are integers of one unit, the exact rule of integers holds, as everywhere.

N batch, C channels, O output channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.graph.execute.products import PRODUCTS, convolve, convolve_transposed, inserts_zeros
from bitlens.graph.execute.tensor import Rule, Tensor
from bitlens.graph.execute.windows import GLOBAL, WINDOWS, windows
from bitlens.graph.graph import Node
from bitlens.graph.spec import CompileError

__all__ = ["FLOATS"]

FloatArray = npt.NDArray[np.float64]


def _matrices(a: FloatArray, b: FloatArray, attrs: Mapping[str, Any]) -> FloatArray:
    a = a.T if attrs.get("transA") else a
    return np.asarray(a @ (b.T if attrs.get("transB") else b))


_SUMS = {"Conv": convolve, "ConvTranspose": convolve_transposed, "Gemm": _matrices, "MatMul": _matrices}


def _product(node: Node, operands: list[Tensor | None]) -> Tensor:
    x, weight, bias = (*operands, None)[:3]
    assert x is not None and weight is not None
    if _is_exact(node, x, weight) or (node.op == "ConvTranspose" and inserts_zeros(node, weight, bias)):
        return PRODUCTS[node.op](node, operands)
    sums = _SUMS[node.op](x.real.astype(np.float64), weight.real.astype(np.float64), node.attrs)
    found = (node.attrs.get("alpha", 1.0) * sums).astype(np.float32)
    if bias is None:
        return Tensor(found)
    added = bias.real.astype(np.float32)
    if node.op.startswith("Conv"):
        return Tensor(found + added.reshape(-1, *(1,) * (found.ndim - 2)))  # (O,) -> (O, 1, 1)
    return Tensor(found + np.float32(node.attrs.get("beta", 1.0)) * added)


def _is_exact(node: Node, x: Tensor, weight: Tensor) -> bool:
    """Whether sums of integers have one unit an output, as the rule of integers takes for granted."""
    if x.integers is None or weight.integers is None or x.unit is None or weight.unit is None:
        return False
    if (node.attrs.get("alpha", 1.0), node.attrs.get("beta", 1.0)) != (1.0, 1.0):
        return False
    if node.op in ("Gemm", "MatMul") and (x.real.ndim, weight.real.ndim) != (2, 2):
        return False
    depthwise = node.op == "Conv" and weight.real.shape[1] == 1 and x.unit.size == x.real.shape[1]
    if x.unit.min() != x.unit.max() and not depthwise:
        return False
    units = np.broadcast_to(weight.unit, weight.real.shape)
    outputs = 0 if node.op == "Conv" or node.attrs.get("transB") else 1  # the axis of the outputs
    first = [slice(None) if axis == outputs else slice(1) for axis in range(units.ndim)]
    return bool(np.all(units == units[tuple(first)]))


def _average(node: Node, operands: list[Tensor | None]) -> Tensor:
    x = operands[0]
    assert x is not None
    attrs = {**GLOBAL, **node.attrs}
    if x.integers is not None:
        return WINDOWS[node.op](node, operands)
    if attrs.get("count_include_pad") and attrs.get("ceil_mode"):
        raise CompileError(
            f"{node.name}: ceil_mode must be 0 where padding counts, not 1; pad the map explicitly instead"
        )
    kernel = node.attrs.get("kernel_shape", x.real.shape[2:])
    sums = windows(x.real.astype(np.float64), attrs, kernel, 0).sum(axis=(4, 5))
    if node.attrs.get("count_include_pad"):
        return Tensor((sums / prod(kernel)).astype(np.float32))
    counts = windows(np.ones((1, 1, *x.real.shape[2:])), attrs, kernel, 0).sum(axis=(4, 5))
    return Tensor((sums / counts).astype(np.float32))


def _reduce_mean(node: Node, operands: list[Tensor | None]) -> Tensor:
    x, given = (*operands, None)[:2]
    assert x is not None
    axes = sorted(int(axis) % x.real.ndim for axis in given.real.reshape(-1)) if given is not None else []
    if x.integers is not None and x.real.ndim == 4 and axes == [2, 3]:
        return WINDOWS[node.op](node, operands)
    if not axes and node.attrs["noop_with_empty_axes"]:
        return x
    over = tuple(axes) if axes else None
    found = np.mean(x.real, over, np.float64, keepdims=bool(node.attrs["keepdims"]))
    return Tensor(np.asarray(found, np.float32))


FLOATS: dict[str, Rule] = {
    **dict.fromkeys(PRODUCTS, _product),
    "AveragePool": _average,
    "GlobalAveragePool": _average,
    "ReduceMean": _reduce_mean,
}
