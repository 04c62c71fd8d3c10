# SPDX-License-Identifier: Apache-2.0
"""Reference rules of sliding windows: pools, and the windows that convolutions see.

N batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np

from bitlens.graph.averages import average_factors
from bitlens.graph.ceil_mode import whole_pads
from bitlens.graph.execute.tensor import Array, Rule, Tensor, integers_of
from bitlens.graph.graph import Node

__all__ = ["GLOBAL", "WINDOWS", "windows"]

GLOBAL: dict[str, Any] = {"auto_pad": "NOTSET", "dilations": None, "pads": None, "strides": None}


def windows(x: Array, attrs: Mapping[str, Any], kernel: tuple[int, ...], fill: float) -> Array:
    """(N, C, H, W) -> (N, C, H', W', kh, kw), a view of the padded array."""
    strides, dilations, pads = _window_of(attrs, x.shape[2:], kernel)
    padded = np.pad(x, ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])), constant_values=fill)
    extent = tuple(d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True))
    view = np.lib.stride_tricks.sliding_window_view(padded, extent, axis=(2, 3))
    return np.asarray(view[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]])


def _window_of(
    attrs: Mapping[str, Any], sizes: tuple[int, ...], kernel: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Strides, dilations and pads (top, left, bottom, right), with ONNX's automatic padding worked out."""
    strides = attrs["strides"] or (1,) * len(kernel)
    dilations = attrs["dilations"] or (1,) * len(kernel)
    if attrs["auto_pad"] in ("NOTSET", "VALID"):
        explicit = attrs["pads"] if attrs["auto_pad"] == "NOTSET" else None
        if attrs["auto_pad"] == "NOTSET" and attrs.get("ceil_mode"):
            explicit = whole_pads(attrs, sizes, kernel)
        return strides, dilations, explicit or (0,) * (2 * len(kernel))
    before, after = [], []
    for size, k, s, d in zip(sizes, kernel, strides, dilations, strict=True):
        total = max(0, (-(-size // s) - 1) * s + d * (k - 1) + 1 - size)
        small, large = total // 2, total - total // 2
        before.append(small if attrs["auto_pad"] == "SAME_UPPER" else large)
        after.append(large if attrs["auto_pad"] == "SAME_UPPER" else small)
    return strides, dilations, (*before, *after)


def _max_pool(node: Node, operands: list[Tensor | None]) -> Tensor:
    x = operands[0]
    assert x is not None
    kernel = node.attrs.get("kernel_shape", x.real.shape[2:])
    attrs = {**GLOBAL, **node.attrs}
    if x.integers is not None and x.unit is not None:
        return _kept(node, Tensor.quantized(_largest(windows(x.integers, attrs, kernel, -(1 << 40))), x.unit))
    whole = None if x.whole is None else _max_pool(node, [x.whole])
    real = _kept(node, Tensor(_largest(windows(x.real, attrs, kernel, -np.inf))))
    return replace(real, whole=whole)


def _largest(seen: Array) -> Array:
    """(N, C, H, W, kh, kw) -> (N, C, H, W), one tap after the other, which numpy does faster than a window at a time."""
    taps = [seen[..., i, j] for i in range(seen.shape[4]) for j in range(seen.shape[5])]
    return np.array(reduce(np.maximum, taps))


def _kept(node: Node, found: Tensor) -> Tensor:
    """The result of a window as large as the map, without its axes where the operator drops them."""
    return found.moved(lambda a: a.reshape(a.shape[:2])) if node.attrs.get("keepdims", 1) == 0 else found


def _average(node: Node, operands: list[Tensor | None]) -> Tensor:
    """Exact sums, times a whole factor where the divisor is smaller at the border, with one unit for the map."""
    x = operands[0]
    (integers,) = integers_of(node, x)
    assert x is not None and x.unit is not None
    kernel, attrs = node.attrs.get("kernel_shape", integers.shape[2:]), {**GLOBAL, **node.attrs}
    strides, dilations, pads = _window_of({**attrs, "ceil_mode": 0}, integers.shape[2:], kernel)
    attrs |= {"strides": strides, "dilations": dilations, "pads": pads}
    attrs["ceil_mode"] = attrs["auto_pad"] == "NOTSET" and attrs.get("ceil_mode", 0)
    attrs["auto_pad"] = "NOTSET"
    (rows, row_multiple), (columns, column_multiple) = average_factors(attrs, integers.shape[2:], kernel)
    multiple = row_multiple * column_multiple
    sums = windows(integers, attrs, kernel, 0).sum(axis=(4, 5))
    if multiple == kernel[0] * kernel[1] and np.all(rows == 1) and np.all(columns == 1):
        found = Tensor.quantized(sums, x.unit / np.float32(multiple))
    else:
        found = Tensor.quantized(sums * rows[:, None] * columns, x.unit * np.float32(1 / multiple))
    return _kept(node, found)


def _reduction(reduce_axes: Callable[..., Any], over_map: Rule | None) -> Rule:
    """A rule for any axes; over height and width of computed maps it is that of the pool."""

    def rule(node: Node, operands: list[Tensor | None]) -> Tensor:
        x, given = (*operands, None)[:2]
        assert x is not None
        rank = x.real.ndim
        axes = None if given is None or given.real.size == 0 else tuple(int(a) % rank for a in given.real.reshape(-1))
        if axes is None and node.attrs["noop_with_empty_axes"]:
            return x
        pools = over_map is not None and rank == 4 and axes is not None and sorted(axes) == [2, 3]
        if over_map is not None and pools and (node.op == "ReduceMax" or x.exact is not None):
            return over_map(node, [x])
        found = reduce_axes(x.real, axis=axes or tuple(range(rank)), keepdims=bool(node.attrs["keepdims"]))
        return Tensor(np.asarray(found, x.real.dtype))

    return rule


WINDOWS: dict[str, Rule] = {
    "MaxPool": _max_pool,
    "GlobalMaxPool": _max_pool,
    "AveragePool": _average,
    "GlobalAveragePool": _average,
    "ReduceMax": _reduction(np.maximum.reduce, _max_pool),
    "ReduceMean": _reduction(np.mean, _average),
    "ReduceMin": _reduction(np.minimum.reduce, None),
    "ReduceSum": _reduction(np.sum, None),
}
