# SPDX-License-Identifier: Apache-2.0
"""Reference rules of products: exact sums of integers, rounded once, times the units.

N batch, C input channels, O output channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.graph.execute.tensor import Array, Rule, Tensor, integers_of
from bitlens.graph.execute.windows import windows
from bitlens.graph.graph import Node
from bitlens.graph.patches import row_blocks
from bitlens.graph.transposed import transposed_pads

__all__ = ["PRODUCTS", "convolve", "convolve_transposed", "inserts_zeros"]

FloatArray = npt.NDArray[np.float64]


def _scaled(sums: npt.NDArray[np.int64], x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Exact sums -> float32, times the units' product, plus the bias. sums: (N, O, ...).

    A bias quantized with that very unit is a whole number of it and joins the exact sum.
    """
    assert x.unit is not None and weight.unit is not None
    outputs = sums.shape[1]
    unit = _per_output(weight.unit, outputs) * _per_output(x.unit, outputs)  # (O,)
    across = (-1, *(1,) * (sums.ndim - 2))  # (O,) -> (O, 1, 1)
    if bias is None:
        return Tensor.quantized(sums, unit.reshape(across), sums)
    if bias.integers is not None and bias.unit is not None and np.all(bias.unit.reshape(-1) == unit):
        return Tensor.quantized(sums + bias.integers.reshape(across), unit.reshape(across), sums)
    real = sums.astype(np.float32) * unit.reshape(across)
    return Tensor(real + bias.real.reshape(across).astype(np.float32), sums=sums)


def _per_output(unit: npt.NDArray[np.float32], outputs: int) -> npt.NDArray[np.float32]:
    """One unit, or one per channel of which each serves as many outputs as the others -> (O,)."""
    flat = np.unique(unit) if unit.min() == unit.max() else unit.reshape(-1)
    return np.repeat(flat, outputs // len(flat))


def convolve(xs: FloatArray, ws: FloatArray, attrs: Mapping[str, Any]) -> FloatArray:
    """(N, C, H, W) with (O, C/groups, kh, kw) -> (N, O, H', W'), in float64."""
    groups = attrs["group"]
    seen = windows(xs, attrs, ws.shape[2:], 0)  # (N, C, H', W', kh, kw)
    n, _, height, width = seen.shape[:4]
    found = np.empty((n, len(ws), height, width))
    per_group = len(ws) // groups
    for g, part in enumerate(np.split(seen.transpose(0, 2, 3, 1, 4, 5), groups, axis=3)):
        taps = ws[g * per_group : (g + 1) * per_group].reshape(per_group, -1).T  # (C/g*kh*kw, O/g)
        for images, rows in row_blocks(n, height, width * len(taps)):
            patches = part[images, rows]
            sums = (patches.reshape(-1, len(taps)) @ taps).reshape(*patches.shape[:3], per_group)
            found[images, g * per_group : (g + 1) * per_group, rows] = sums.transpose(0, 3, 1, 2)
    return found


def _conv(node: Node, operands: list[Tensor | None]) -> Tensor:
    x, weight, bias = (*operands, None)[:3]
    xs, ws = integers_of(node, x, weight)
    assert x is not None and weight is not None
    sums = convolve(xs.astype(np.float64), ws.astype(np.float64), node.attrs)  # exact below 2^53
    return _scaled(sums.astype(np.int64), x, weight, bias)


def _gemm(node: Node, operands: list[Tensor | None]) -> Tensor:
    x, weight, bias = (*operands, None)[:3]
    assert x is not None and weight is not None
    if node.op == "MatMul" and x.constant:  # W x = (x^T W^T)^T
        return _gemm(node, [weight.moved(np.transpose), x.moved(np.transpose)]).moved(np.transpose)
    x = x.moved(np.transpose) if node.attrs.get("transA") else x
    weight = weight.moved(np.transpose) if node.attrs.get("transB") else weight  # (K, O)
    xs, ws = integers_of(node, x, weight)
    alpha, beta = (np.float32(node.attrs.get(name, 1.0)) for name in ("alpha", "beta"))
    unit = None if weight.unit is None else np.asarray(weight.unit * alpha, np.float32)
    if unit is not None and unit.ndim:
        unit = np.broadcast_to(unit, ws.shape)[0]  # (O,): one per column
    if bias is not None and beta != 1:
        bias = Tensor(bias.real.astype(np.float32) * beta)
    sums = (xs.astype(np.float64) @ ws.astype(np.float64)).astype(np.int64)
    return _scaled(sums, x, Tensor(weight.real, ws, unit), bias)


def convolve_transposed(xs: Array, ws: Array, attrs: Mapping[str, Any]) -> Array:
    """(N, C, H, W) with (C, O/groups, kh, kw) -> (N, O, H', W'), in the dtype of the map.

    Every input pixel adds its multiple of the kernel to the result, which is then cut.
    """
    n, _, height, width = xs.shape
    groups, kernel, outputs = attrs["group"], ws.shape[2:], ws.shape[1]
    strides, dilations = (attrs[name] or (1, 1) for name in ("strides", "dilations"))
    extra = attrs["output_padding"] or (0, 0)
    top, left, bottom, right = transposed_pads(attrs, xs.shape[2:], kernel)
    full = [
        strides[i] * (size - 1) + dilations[i] * (kernel[i] - 1) + 1 + extra[i] for i, size in enumerate(xs.shape[2:])
    ]
    found = np.zeros((n, groups * outputs, *full), xs.dtype)
    for g, (part, taps) in enumerate(zip(np.split(xs, groups, axis=1), np.split(ws, groups), strict=True)):
        pixels = part.transpose(0, 2, 3, 1).reshape(-1, part.shape[1])  # (N*H*W, C/g)
        for i in range(kernel[0]):
            for j in range(kernel[1]):
                sums = (pixels @ taps[:, :, i, j]).reshape(n, height, width, outputs).transpose(0, 3, 1, 2)
                rows = slice(i * dilations[0], i * dilations[0] + strides[0] * (height - 1) + 1, strides[0])
                columns = slice(j * dilations[1], j * dilations[1] + strides[1] * (width - 1) + 1, strides[1])
                found[:, g * outputs : (g + 1) * outputs, rows, columns] += sums
    return found[:, :, top : full[0] - bottom, left : full[1] - right]


def inserts_zeros(node: Node, weight: Tensor, bias: Tensor | None) -> bool:
    """Whether a transposed convolution only spreads the pixels: its kernel is a float 1."""
    ones = weight.integers is None and weight.real.shape == (node.attrs["group"], 1, 1, 1) and np.all(weight.real == 1)
    return bool(ones) and bias is None


def _conv_transpose(node: Node, operands: list[Tensor | None]) -> Tensor:
    x, weight, bias = (*operands, None)[:3]
    assert x is not None and weight is not None
    attrs, groups = node.attrs, node.attrs["group"]
    if inserts_zeros(node, weight, bias):
        return x.spread(lambda array: convolve_transposed(array, weight.real.astype(array.dtype), attrs))
    xs, ws = integers_of(node, x, weight)
    sums = convolve_transposed(xs.astype(np.float64), ws.astype(np.float64), attrs).astype(np.int64)  # exact below 2^53
    unit = weight.unit
    if unit is not None and unit.ndim:  # (C, O/g, kh, kw): one number for each output
        unit = np.broadcast_to(unit, ws.shape).reshape(groups, -1, *ws.shape[1:])[:, 0, :, 0, 0].reshape(-1)
    return _scaled(sums, x, Tensor(weight.real, ws, unit), bias)


PRODUCTS: dict[str, Rule] = {"Conv": _conv, "ConvTranspose": _conv_transpose, "Gemm": _gemm, "MatMul": _gemm}
