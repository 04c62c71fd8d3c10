# SPDX-License-Identifier: Apache-2.0
"""Activation functions of one number that are no single float32 operation: computed in float64 and rounded once.

No runtime rounds them correctly, so a code at a boundary may be a tie against another runtime. None counts as monotone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["FUNCTIONS", "apply_function"]

Array = npt.NDArray[np.float64]
Parameters = Mapping[str, Any]

_ERF = np.frompyfunc(math.erf, 1, 1)


def _erf(x: Array) -> Array:
    return np.asarray(_ERF(x), np.float64)


def _gelu(x: Array, p: Parameters) -> Array:
    if p["approximate"] == "tanh":
        return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))
    return np.asarray(0.5 * x * (1 + _erf(x / math.sqrt(2))))


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _softplus(x: Array) -> Array:
    return np.logaddexp(x, 0.0)


# By ONNX's name; parameters are the operator's attributes, by ONNX's names.
FUNCTIONS: Mapping[str, Callable[[Array, Parameters], Array]] = MappingProxyType(
    {
        "Celu": lambda x, p: np.where(x >= 0, x, p["alpha"] * np.expm1(np.minimum(x, 0) / p["alpha"])),
        "Elu": lambda x, p: np.where(x >= 0, x, p["alpha"] * np.expm1(np.minimum(x, 0))),
        "Erf": lambda x, p: _erf(x),
        "Exp": lambda x, p: np.exp(x),
        "Gelu": _gelu,
        "HardSwish": lambda x, p: x * np.clip(x / 6 + 0.5, 0, 1),
        "Mish": lambda x, p: x * np.tanh(_softplus(x)),
        "Selu": lambda x, p: p["gamma"] * np.where(x >= 0, x, p["alpha"] * np.expm1(np.minimum(x, 0))),
        "Softplus": lambda x, p: _softplus(x),
        "Softsign": lambda x, p: x / (1 + np.abs(x)),
        "Swish": lambda x, p: x * _sigmoid(p["alpha"] * x),
        "ThresholdedRelu": lambda x, p: np.where(x > p["alpha"], x, 0.0),
    }
)


def apply_function(name: str, x: npt.NDArray[np.float32], parameters: Parameters) -> npt.NDArray[np.float32]:
    """Apply a function of `FUNCTIONS`; float32 in, float32 out."""
    return np.asarray(FUNCTIONS[name](x.astype(np.float64), parameters)).astype(np.float32)
