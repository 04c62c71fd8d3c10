# SPDX-License-Identifier: Apache-2.0
"""Reference rules of what acts on one number at a time: one float32 operation after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bitlens.core.functions import FUNCTIONS, apply_function
from bitlens.graph.execute.tensor import Array, Rule, Tensor, each
from bitlens.graph.graph import Node
from bitlens.graph.spec import CompileError

__all__ = ["ELEMENTWISE"]

_FLOAT, _WHOLE = 1, (6, 7)  # ONNX's numbers of FLOAT, INT32 and INT64


def _batch_norm(node: Node, operands: list[Tensor | None]) -> Tensor:
    x, gamma, beta, mean, var = (operand.real for operand in operands if operand is not None)
    inverse = np.float32(1) / np.sqrt(var + np.float32(node.attrs["epsilon"]))
    slope = gamma * inverse
    intercept = beta - mean * slope
    across = (-1, *(1,) * (x.ndim - 2))
    return Tensor(x * slope.reshape(across) + intercept.reshape(across))


def _clip(node: Node, operands: list[Tensor | None]) -> Tensor:
    x, lo, hi = (*operands, None, None)[:3]
    assert x is not None
    found = x.real
    found = found if lo is None else np.maximum(found, lo.real)
    return Tensor(found if hi is None else np.minimum(found, hi.real))


def _over_axis(rule: Callable[[Array, int], Array]) -> Rule:
    """A rule over one axis, or over all from that axis on, as they were before operator set 13."""

    def run(attrs: Mapping[str, Any], x: Array) -> Array:
        axis = attrs["axis"]
        if not attrs["flattened"]:
            return rule(x, axis)
        axis += x.ndim if axis < 0 else 0
        rows = x.reshape(int(np.prod(x.shape[:axis])), -1)
        return rule(rows, 1).reshape(x.shape)

    return each(run)


def _softmax(x: Array, axis: int) -> Array:
    powers = np.exp(x.astype(np.float64) - x.max(axis, keepdims=True))
    return np.asarray(powers / powers.sum(axis, keepdims=True))


def _hardmax(x: Array, axis: int) -> Array:
    places = np.expand_dims(x.argmax(axis), axis)
    found = np.zeros(x.shape, np.float32)
    np.put_along_axis(found, places, np.float32(1), axis)
    return found


def _argmax(attrs: Mapping[str, Any], x: Array) -> Array:
    axis = attrs["axis"]
    found = np.expand_dims(x.argmax(axis), axis)
    if attrs["select_last_index"]:
        found = x.shape[axis] - 1 - np.expand_dims(np.flip(x, axis).argmax(axis), axis)
    return found if attrs["keepdims"] else found.squeeze(axis)


def _top_k(attrs: Mapping[str, Any], x: Array, count: Array) -> Array:
    """The k largest (smallest) numbers, in order, or their places; the first of equals comes first."""
    order = np.argsort(-x if attrs["largest"] else x, attrs["axis"], kind="stable")
    places = np.take(order, np.arange(int(count.reshape(-1)[0])), attrs["axis"])
    return places if attrs["part"] else np.take_along_axis(x, places, attrs["axis"])


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


def _function(name: str) -> Rule:
    return each(lambda attrs, x: apply_function(name, x, attrs))


ELEMENTWISE: dict[str, Rule] = {
    **{name: _function(name) for name in FUNCTIONS},
    "BatchNormalization": _batch_norm,
    "Abs": each(lambda attrs, x: np.abs(x)),
    "Relu": each(lambda attrs, x: np.maximum(x, np.float32(0))),
    "LeakyRelu": each(_leaky),
    "PRelu": each(_leaky),
    "Clip": _clip,
    "Sigmoid": each(lambda attrs, x: (1 / (1 + np.exp(-x.astype(np.float64)))).astype(np.float32)),
    "HardTanh": each(lambda attrs, x: np.clip(x, np.float32(attrs["min_val"]), np.float32(attrs["max_val"]))),
    "HardSigmoid": each(
        lambda attrs, x: np.clip(
            x * np.float32(attrs["alpha"]) + np.float32(attrs["beta"]), np.float32(0), np.float32(1)
        )
    ),
    "Sign": each(lambda attrs, x: np.sign(x)),
    "Tanh": each(lambda attrs, x: np.tanh(x.astype(np.float64)).astype(np.float32)),
    "Cast": _cast,
    # arithmetic of scales and bit widths
    "Ceil": each(lambda attrs, x: np.ceil(x)),
    "Floor": each(lambda attrs, x: np.floor(x)),
    "Round": each(lambda attrs, x: np.rint(x)),
    "Log": each(lambda attrs, x: np.log(x)),
    "Sqrt": each(lambda attrs, x: np.sqrt(x)),
    "Reciprocal": each(lambda attrs, x: np.float32(1) / x),
    "Pow": each(lambda attrs, x, power: np.power(x, power)),
    "Max": each(lambda attrs, *xs: np.maximum.reduce(np.broadcast_arrays(*xs))),
    "Min": each(lambda attrs, *xs: np.minimum.reduce(np.broadcast_arrays(*xs))),
    "Softmax": _over_axis(lambda x, axis: _softmax(x, axis).astype(np.float32)),
    "LogSoftmax": _over_axis(lambda x, axis: np.log(_softmax(x, axis)).astype(np.float32)),
    "Hardmax": _over_axis(lambda x, axis: _hardmax(x, axis)),
    "ArgMax": each(_argmax),
    "TopK": each(_top_k),
}
