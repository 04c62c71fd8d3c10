# SPDX-License-Identifier: Apache-2.0
"""Runs a graph at the imported stage in reference arithmetic: slow, obvious, in the model's own order of axes.

It knows nothing of the passes, so the compiler compares its result with this one. Each tensor carries its real values and,
where a quantizer made it, the integers and their unit. Products and sums of integers are exact; the exact sum is rounded once
to float32 and multiplied by the float32 product of the units; all else is one float32 operation after the other.

N batch, C channels, H height, W width; O output channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.graph.graph import Graph, Node
from bitlens.graph.quantizer import Quantizer, read_quantizer
from bitlens.graph.spec import CompileError

__all__ = ["Tensor", "execute", "execute_node"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Tensor:
    """Real values and, if known, the integers behind them.

    Args:
        real: float32 (or a shape's int64).
        integers: int64 of the same shape, or None. real = integers * unit, rounded to float32.
        unit: float32, scalar or with as many axes as the tensor.
        sums: exact sums (O on axis 1) of a product, before unit and bias; for comparison only.
    """

    real: Array
    integers: npt.NDArray[np.int64] | None = None
    unit: npt.NDArray[np.float32] | None = None
    sums: npt.NDArray[np.int64] | None = None

    @classmethod
    def quantized(
        cls, integers: npt.NDArray[np.int64], unit: Array, sums: npt.NDArray[np.int64] | None = None
    ) -> Tensor:
        """The tensor of integers with a unit."""
        return cls(integers.astype(np.float32) * unit, integers, unit, sums)

    def moved(self, move: Callable[[Array], Array]) -> Tensor:
        """The tensor with its elements moved; a unit with axes is moved along."""
        if self.integers is None or self.unit is None:
            return Tensor(move(self.real))
        unit = self.unit if self.unit.ndim == 0 else move(np.broadcast_to(self.unit, self.integers.shape))
        return Tensor.quantized(move(self.integers), unit)


def execute(graph: Graph, inputs: Mapping[str, Array]) -> dict[str, Tensor]:
    """Run a graph.

    Args:
        graph: at the imported stage.
        inputs: float32 arrays in the model's order of axes, by input name; integers for inputs that have a grid.

    Returns:
        Every tensor by name, constants left out.

    Raises:
        CompileError: a node cannot be run; the sentence names it.
    """
    tensors = {name: _constant(graph, name) for name in graph.constants}
    for name in graph.inputs:
        value = graph.value(name)
        given = np.asarray(inputs[name])
        tensors[name] = Tensor(given.astype(np.float32))
        if value.grid is not None:
            tensors[name] = Tensor.quantized(given.astype(np.int64), value.scale)
    for node in graph.nodes:
        tensors[node.outputs[0]] = execute_node(graph, node, [tensors.get(name) for name in node.inputs])
    return {name: tensor for name, tensor in tensors.items() if name not in graph.constants}


def _constant(graph: Graph, name: str) -> Tensor:
    value, array = graph.value(name), graph.constants[name]
    return Tensor(array) if value.grid is None else Tensor.quantized(array, value.scale)


def execute_node(graph: Graph, node: Node, operands: list[Tensor | None]) -> Tensor:
    """Run one operator; None stands for an input left out.

    Raises:
        CompileError: the operator has no rule here, or its operands do not fit each other.
    """
    quantizer = read_quantizer(graph, node) if node.op in ("Quant", "BipolarQuant") else None
    if quantizer is None and node.op not in _RULES:
        raise CompileError(f"{node.name}: operator must be one that reference arithmetic knows, not {node.op}")
    try:
        with np.errstate(all="ignore"):  # what is not finite is refused where it meets a quantizer or an output
            if quantizer is not None:
                return _quantize(node, quantizer, operands[0])
            return _RULES[node.op](node, operands)
    except CompileError:
        raise
    except (ValueError, IndexError, TypeError) as error:
        shapes = ", ".join("none" if x is None else str(x.real.shape) for x in operands)
        raise CompileError(f"{node.name}: inputs of {node.op} must fit each other, not {shapes}") from error


def _quantize(node: Node, quantizer: Quantizer, x: Tensor | None) -> Tensor:
    assert x is not None
    if not np.all(np.isfinite(x.real)):
        raise CompileError(f"{node.name}: numbers to quantize must be finite, not inf or nan; repair the model")
    return Tensor.quantized(quantizer.integers(x.real), quantizer.unit)


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


def _integers(node: Node, *tensors: Tensor | None) -> list[npt.NDArray[np.int64]]:
    found = []
    for tensor in tensors:
        if tensor is None or tensor.integers is None:
            raise CompileError(
                f"{node.name}: input of {node.op} must be quantized, not float; put a quantizer before it"
            )
        found.append(tensor.integers)
    return found


def _windows(x: Array, attrs: Mapping[str, Any], kernel: tuple[int, ...], fill: float) -> Array:
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
        return strides, dilations, explicit or (0,) * (2 * len(kernel))
    before, after = [], []
    for size, k, s, d in zip(sizes, kernel, strides, dilations, strict=True):
        total = max(0, (-(-size // s) - 1) * s + d * (k - 1) + 1 - size)
        small, large = total // 2, total - total // 2
        before.append(small if attrs["auto_pad"] == "SAME_UPPER" else large)
        after.append(large if attrs["auto_pad"] == "SAME_UPPER" else small)
    return strides, dilations, (*before, *after)


def _conv(node: Node, operands: list[Tensor | None]) -> Tensor:
    x, weight, bias = (*operands, None)[:3]
    xs, ws = _integers(node, x, weight)
    assert x is not None and weight is not None
    groups = node.attrs["group"]
    windows = _windows(xs.astype(np.float64), node.attrs, ws.shape[2:], 0)  # (N, C, H', W', kh, kw)
    n, _, height, width = windows.shape[:4]
    out = []
    for part, taps in zip(np.split(windows, groups, axis=1), np.split(ws.astype(np.float64), groups), strict=True):
        patches = part.transpose(0, 2, 3, 1, 4, 5).reshape(n * height * width, -1)
        sums = patches @ taps.reshape(len(taps), -1).T  # exact below 2^53
        out.append(sums.reshape(n, height, width, len(taps)).transpose(0, 3, 1, 2))
    return _scaled(np.concatenate(out, axis=1).astype(np.int64), x, weight, bias)


def _gemm(node: Node, operands: list[Tensor | None]) -> Tensor:
    x, weight, bias = (*operands, None)[:3]
    assert x is not None and weight is not None
    x = x.moved(np.transpose) if node.attrs.get("transA") else x
    weight = weight.moved(np.transpose) if node.attrs.get("transB") else weight  # (K, O)
    xs, ws = _integers(node, x, weight)
    unit = weight.unit
    if unit is not None and unit.ndim:
        unit = np.broadcast_to(unit, ws.shape)[0]  # (O,): one per column
    sums = (xs.astype(np.float64) @ ws.astype(np.float64)).astype(np.int64)
    return _scaled(sums, x, Tensor(weight.real, ws, unit), bias)


def _join(node: Node, operands: list[Tensor | None]) -> Tensor:
    a, b = operands
    assert a is not None and b is not None
    if a.unit is not None and b.unit is not None and np.array_equal(a.unit, b.unit):
        first, second = _integers(node, a, b)
        return Tensor.quantized(first + second, a.unit)
    first, second = _alike(operands)
    return Tensor(first + second)


def _concat(node: Node, operands: list[Tensor | None]) -> Tensor:
    parts = [part for part in operands if part is not None]
    axis, first = node.attrs["axis"], parts[0]
    if first.unit is not None and all(
        part.unit is not None and np.array_equal(part.unit, first.unit) for part in parts
    ):
        return Tensor.quantized(np.concatenate(_integers(node, *parts), axis), first.unit)
    return Tensor(np.concatenate([part.real for part in parts], axis))


def _batch_norm(node: Node, operands: list[Tensor | None]) -> Tensor:
    x, gamma, beta, mean, var = (operand.real for operand in operands if operand is not None)
    inverse = np.float32(1) / np.sqrt(var + np.float32(node.attrs["epsilon"]))
    slope = gamma * inverse
    intercept = beta - mean * slope
    across = (-1, *(1,) * (x.ndim - 2))
    return Tensor(x * slope.reshape(across) + intercept.reshape(across))


def _max_pool(node: Node, operands: list[Tensor | None]) -> Tensor:
    (x,) = operands
    assert x is not None
    kernel = node.attrs.get("kernel_shape", x.real.shape[2:])
    attrs = {**_GLOBAL, **node.attrs}
    if x.integers is not None and x.unit is not None:
        return Tensor.quantized(_windows(x.integers, attrs, kernel, -(1 << 40)).max(axis=(4, 5)), x.unit)
    return Tensor(_windows(x.real, attrs, kernel, -np.inf).max(axis=(4, 5)))


def _average(node: Node, operands: list[Tensor | None]) -> Tensor:
    x = operands[0]
    (integers,) = _integers(node, x)
    assert x is not None and x.unit is not None
    kernel = node.attrs.get("kernel_shape", integers.shape[2:])
    sums = _windows(integers, {**_GLOBAL, **node.attrs}, kernel, 0).sum(axis=(4, 5))
    found = Tensor.quantized(sums, x.unit / np.float32(kernel[0] * kernel[1]))
    return found.moved(lambda a: a.reshape(a.shape[:2])) if node.attrs.get("keepdims", 1) == 0 else found


def _reshape(node: Node, operands: list[Tensor | None]) -> Tensor:
    x, target = operands
    assert x is not None and target is not None
    shape = x.real.shape
    sizes = [int(size) for size in target.real]
    if not node.attrs["allowzero"]:
        sizes = [shape[i] if size == 0 else size for i, size in enumerate(sizes)]
    inner = int(np.prod(shape[1:]))
    if len(sizes) > 1 and -1 not in sizes[1:] and int(np.prod(sizes[1:])) == inner:
        sizes[0] = shape[0]  # a file made for one batch serves every batch
    elif len(sizes) > 1 and -1 in sizes[1:] and sizes[0] == 1:
        sizes[0] = shape[0]
    return x.moved(lambda a: a.reshape(sizes))


def _squeeze(node: Node, operands: list[Tensor | None]) -> Tensor:
    x, axes = (*operands, None)[:2]
    assert x is not None
    where = tuple(int(axis) for axis in axes.real) if axes is not None else None
    return x.moved(lambda a: np.squeeze(a, where))


def _unsqueeze(node: Node, operands: list[Tensor | None]) -> Tensor:
    x, axes = operands
    assert x is not None and axes is not None
    return x.moved(lambda a: np.expand_dims(a, tuple(int(axis) for axis in axes.real)))


def _clip(node: Node, operands: list[Tensor | None]) -> Tensor:
    x, lo, hi = (*operands, None, None)[:3]
    assert x is not None
    found = x.real
    found = found if lo is None else np.maximum(found, lo.real)
    return Tensor(found if hi is None else np.minimum(found, hi.real))


def _softmax(x: Array, axis: int) -> Array:
    powers = np.exp(x.astype(np.float64) - x.max(axis, keepdims=True))
    return np.asarray(powers / powers.sum(axis, keepdims=True))


def _slice(node: Node, operands: list[Tensor | None]) -> Tensor:
    x, *rest = (*operands, None, None)[:5]
    starts, ends, axes, steps = (None if part is None else [int(v) for v in part.real] for part in rest)
    assert x is not None and starts is not None and ends is not None
    index = [slice(None)] * x.real.ndim
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        index[axes[i] if axes else i] = slice(start, end, steps[i] if steps else 1)
    return x.moved(lambda a: a[tuple(index)])


def _each(rule: Callable[..., Array]) -> Callable[[Node, list[Tensor | None]], Tensor]:
    """A rule on real values, one number at a time."""
    return lambda node, operands: Tensor(np.asarray(rule(node.attrs, *_alike(operands))))


def _alike(operands: list[Tensor | None]) -> list[Array]:
    """Real values of one type: whole numbers beside float32 become float32."""
    arrays = [x.real for x in operands if x is not None]
    mixed = any(array.dtype == np.float32 for array in arrays)
    return [array.astype(np.float32) for array in arrays] if mixed else arrays


def _same(node: Node, operands: list[Tensor | None]) -> Tensor:
    assert operands[0] is not None
    return operands[0]


def _cast(node: Node, operands: list[Tensor | None]) -> Tensor:
    (x,) = operands
    assert x is not None
    if node.attrs["to"] == _FLOAT:
        return x if x.integers is not None else Tensor(x.real.astype(np.float32))
    if node.attrs["to"] not in _WHOLE:
        raise CompileError(f"{node.name}: Cast must be to FLOAT, INT32 or INT64, not to type {node.attrs['to']}")
    return Tensor(np.trunc(x.real).astype(np.int64))


def _leaky(attrs: Mapping[str, Any], x: Array, slope: Array | None = None) -> Array:
    return np.where(x >= 0, x, x * (np.float32(attrs["alpha"]) if slope is None else slope))


_FLOAT, _WHOLE = 1, (6, 7)  # ONNX's numbers of FLOAT, INT32 and INT64
_GLOBAL: dict[str, Any] = {"auto_pad": "NOTSET", "dilations": None, "pads": None, "strides": None}

_RULES: dict[str, Callable[[Node, list[Tensor | None]], Tensor]] = {
    "Conv": _conv,
    "Gemm": _gemm,
    "MatMul": _gemm,
    "BatchNormalization": _batch_norm,
    "Mul": _each(lambda attrs, a, b: a * b),
    "Add": _join,
    "Sub": _each(lambda attrs, a, b: a - b),
    "Div": _each(lambda attrs, a, b: a / b if a.dtype.kind == "f" else a // b),
    "Neg": _each(lambda attrs, x: -x),
    "Abs": _each(lambda attrs, x: np.abs(x)),
    "Relu": _each(lambda attrs, x: np.maximum(x, np.float32(0))),
    "LeakyRelu": _each(_leaky),
    "PRelu": _each(_leaky),
    "Clip": _clip,
    "Sigmoid": _each(lambda attrs, x: (1 / (1 + np.exp(-x.astype(np.float64)))).astype(np.float32)),
    "Tanh": _each(lambda attrs, x: np.tanh(x.astype(np.float64)).astype(np.float32)),
    "MaxPool": _max_pool,
    "GlobalMaxPool": _max_pool,
    "AveragePool": _average,
    "GlobalAveragePool": _average,
    "ReduceMean": _average,
    "Concat": _concat,
    "Flatten": lambda node, operands: _same(node, operands).moved(lambda a: a.reshape(a.shape[0], -1)),
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": lambda node, operands: _same(node, operands).moved(lambda a: np.transpose(a, node.attrs["perm"])),
    "Identity": _same,
    "Dropout": _same,
    "Cast": _cast,
    "Shape": lambda node, operands: Tensor(
        np.asarray(_same(node, operands).real.shape, np.int64)[node.attrs["start"] : node.attrs["end"]]
    ),
    "Gather": _each(lambda attrs, x, index: np.take(x, index.astype(np.int64), attrs["axis"])),
    "Slice": _slice,
    "Softmax": _each(lambda attrs, x: _softmax(x, attrs["axis"]).astype(np.float32)),
    "LogSoftmax": _each(lambda attrs, x: np.log(_softmax(x, attrs["axis"])).astype(np.float32)),
    "ArgMax": _each(lambda attrs, x: np.argmax(x, attrs["axis"])),
}
