# SPDX-License-Identifier: Apache-2.0
"""Turn operators that act on one number at a time into `chain` nodes of one operator each.

A chain node's attributes: "chain", a `core.reference` chain with one parameter per channel or one for all; "factor" and
"shift", which make the integer of the result from the quantizer's code q: factor * q + shift.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.core.functions import FUNCTIONS
from bitlens.core.grid import Grid
from bitlens.core.reference import (
    ROUNDINGS,
    Abs,
    Add,
    BatchNorm,
    Clip,
    Count,
    Divide,
    Function,
    LeakyRelu,
    Multiply,
    Operator,
    Quantize,
    Relu,
    Round,
    Sigmoid,
    Sign,
    Tanh,
)
from bitlens.graph.clip import clip_limits
from bitlens.graph.graph import Graph, Node
from bitlens.graph.quantizer import read_quantizer
from bitlens.graph.spec import CompileError
from bitlens.graph.thresholds import count_codes, threshold_layout
from bitlens.passes.fold_constants import constant_tensor

__all__ = ["channel_vector", "lower_elementwise"]

FloatArray = npt.NDArray[np.float32]
Shape = tuple[int | None, ...]

_MOST_BITS = 16
_MOST_INTEGER = (1 << 31) - 2


def lower_elementwise(graph: Graph) -> None:
    """Replace elementwise operators with constant parameters by chain nodes.

    Add, Sub, Mul and Div of two computed tensors are left for the joins.

    Raises:
        CompileError: a parameter is neither one number nor one per channel, or has no meaning.
    """
    for node in graph.nodes:
        rule = _RULES.get(node.op)
        if rule is not None:
            rule(graph, node)


def channel_vector(array: npt.NDArray[Any], node: Node, what: str, shape: Shape) -> FloatArray:
    """A constant that meets a tensor as float32, () where all its numbers are alike, else (C,).

    Args:
        array: the constant, broadcast against the tensor.
        node, what: for the sentence.
        shape: of the tensor, (N, C, ...).

    Raises:
        CompileError: the constant differs along another axis than the channels, or does not fit the tensor.
    """
    array = array.astype(np.float32)
    if array.size == 0 or not np.all(np.isfinite(array)):
        raise CompileError(f"{node.name}: constant {what} must be finite numbers, not inf or nan; repair the model")
    sizes = [1] * (len(shape) - array.ndim) + [*array.shape]
    fits = len(sizes) == len(shape) and all(size in (1, given) for size, given in zip(sizes, shape, strict=True))
    alike = array.min() == array.max()
    if not fits or not (alike or sizes[1:2] == [array.size]):
        raise CompileError(
            f"{node.name}: constant {what} must be one number or one per channel, not of shape {array.shape}; "
            "reshape it to (C, 1, 1)"
        )
    return np.asarray(array.flat[0], np.float32) if alike else array.reshape(-1)


def _become(node: Node, data: str, *chain: Operator, factor: int = 1, shift: int = 0) -> None:
    node.op, node.inputs = "chain", [data]
    node.attrs = {"chain": chain, "factor": factor, "shift": shift}


def _shape(graph: Graph, tensor: str) -> Shape:
    return graph.value(tensor).shape or ()


def _quantize(graph: Graph, node: Node) -> None:
    quantizer = read_quantizer(graph, node)
    if quantizer.grid.bits > _MOST_BITS:
        raise CompileError(
            f"{node.name}: activations must have at most {_MOST_BITS} bits, not {quantizer.grid.bits}; use fewer bits"
        )
    shape = _shape(graph, node.inputs[0])
    scale = channel_vector(quantizer.scale, node, "scale", shape)
    zero_point = np.float32(quantizer.zero_point)
    value, shift = graph.value(node.output), quantizer.shift + node.attrs.get("shift", 0)
    unit = channel_vector(np.asarray(node.attrs.get("unit", quantizer.unit)), node, "scale", shape)
    grid = quantizer.grid
    if "shift" in node.attrs:
        grid = Grid(grid.lo + node.attrs["shift"], grid.hi + node.attrs["shift"], grid.step)
    graph.values[node.output] = value.with_(grid=grid, scale=unit)
    _become(
        node,
        node.inputs[0],
        Quantize(scale, zero_point, quantizer.lo, quantizer.hi, quantizer.rounding),
        factor=quantizer.factor,
        shift=shift,
    )


def _trunc(graph: Graph, node: Node) -> None:
    """rint(x / scale + z), divided by a power of two, rounded again: the codes of a second, coarser quantizer."""
    constants = []
    for tensor in node.inputs[1:]:
        if tensor not in graph.constants or graph.constants[tensor].size == 0:
            raise CompileError(
                f"{node.name}: {tensor} must be a constant, not computed; freeze the model before export"
            )
        constants.append(graph.constants[tensor].astype(np.float32))
    scale, zero_point, bits = constants[:3]
    mode = str(node.attrs["rounding_mode"]).upper()
    if mode not in ROUNDINGS:
        raise CompileError(f"{node.name}: rounding_mode must be one of {', '.join(ROUNDINGS)}, not {mode}")
    if np.any(zero_point):
        raise CompileError(
            f"{node.name}: zero point of Trunc must be 0, not {zero_point.flat[0]:g}; quantize symmetrically"
        )
    if any(array.size > 1 and array.min() != array.max() for array in (scale, bits, *constants[3:])):
        raise CompileError(f"{node.name}: scales and bit widths of Trunc must be one number each; quantize per tensor")
    widths = [float(array.flat[0]) for array in (bits, constants[-1])]
    if not all(number.is_integer() and 1 <= number <= 31 for number in widths):
        raise CompileError(
            f"{node.name}: bit widths of Trunc must be whole numbers of 1 to 31, not {widths[0]:g} and {widths[1]:g}"
        )
    scales = [scale] if len(constants) == 4 else [scale, constants[3]]
    if not all(0 < array.flat[0] < np.inf for array in scales):
        raise CompileError(f"{node.name}: scales of Trunc must be positive, not {min(a.flat[0] for a in scales)}")
    for name in ("signed", "narrow"):
        if node.attrs.get(name) not in (None, 0, 1):
            raise CompileError(f"{node.name}: {name} must be 0 or 1, not {node.attrs[name]}")
    step, width = np.float32(scale.flat[0]), int(bits.flat[0])
    if len(constants) == 4:
        narrower, unit = int(constants[3].flat[0]), step  # version 1: codes lose their scale
        divisor, limits = 2.0 ** (width - narrower), (-(1 << narrower), 1 << narrower)
    else:
        unit, narrower = np.float32(constants[3].flat[0]), int(constants[4].flat[0])
        divisor = float(2.0 ** np.rint(np.log2(unit / step)))
        half, narrow = 1 << (narrower - 1), node.attrs["narrow"]
        limits = (-half + narrow, half - 1) if node.attrs["signed"] else (0, 2 * half - 1 - narrow)
    grid = Grid.span(*limits)
    graph.values[node.output] = graph.value(node.output).with_(grid=grid, scale=np.asarray(unit))
    _become(
        node,
        node.inputs[0],
        Round(step, 0.0),
        Quantize(np.float32(divisor), 0.0, grid.lo, grid.hi, mode),
    )
    node.attrs["unclamped"] = len(constants) == 4  # find_step_tables proves that no code leaves the limits


def _multi_threshold(graph: Graph, node: Node) -> None:
    tensor = node.inputs[1]
    if tensor not in graph.constants:
        raise CompileError(f"{node.name}: thresholds must be a constant, not computed ({tensor}); freeze the model")
    thresholds = graph.constants[tensor].astype(np.float32)
    shape = _shape(graph, node.inputs[0])
    layout = threshold_layout(node, len(shape))
    if layout.find("C") != 1:
        raise CompileError(f"{node.name}: data_layout must have the channels on axis 1, as NCHW, not {layout}")
    if thresholds.ndim != 2 or thresholds.shape[0] not in (1, shape[1]) or np.any(np.isnan(thresholds)):
        raise CompileError(f"{node.name}: thresholds must be (1 or {shape[1]}, count) numbers, not {thresholds.shape}")
    if np.all(thresholds == thresholds[:1]):
        thresholds = thresholds[:1]
    codes = count_codes(node)
    most = codes.factor * thresholds.shape[1] + codes.shift
    if max(-codes.shift, most) > _MOST_INTEGER:
        raise CompileError(f"{node.name}: integers must fit 32 bits, not reach {codes.shift} to {most}")
    grid = Grid(codes.shift, most, codes.factor if most > codes.shift else 1)
    graph.values[node.output] = graph.value(node.output).with_(grid=grid, scale=codes.unit)
    _become(node, node.inputs[0], Count(thresholds), factor=codes.factor, shift=codes.shift)


def _batch_norm(graph: Graph, node: Node) -> None:
    if node.attrs["training_mode"]:
        raise CompileError(f"{node.name}: training_mode must be 0, not 1; export the model in eval mode")
    for tensor in node.inputs[1:]:
        if tensor not in graph.constants:
            raise CompileError(f"{node.name}: {tensor} must be a constant, not computed; export the model in eval mode")
    gamma, beta, mean, var = (constant_tensor(graph, tensor).real.astype(np.float32) for tensor in node.inputs[1:])
    channels = (graph.value(node.inputs[0]).shape or (None, None))[1]
    if any(array.shape != (channels,) for array in (gamma, beta, mean, var)):
        shapes = ", ".join(str(array.shape) for array in (gamma, beta, mean, var))
        raise CompileError(f"{node.name}: scale, bias, mean and variance must be ({channels},), not {shapes}")
    eps = float(node.attrs["epsilon"])
    if not np.all(np.isfinite(np.stack([gamma, beta, mean, var]))) or not np.all(var + np.float32(eps) > 0):
        raise CompileError(f"{node.name}: variance plus epsilon must be positive and finite, not {var.min() + eps:g}")
    _become(node, node.inputs[0], BatchNorm(gamma, beta, mean, var, eps))


def _binary(
    one: Callable[[FloatArray], tuple[Operator, ...]], other: Callable[[FloatArray], tuple[Operator, ...]] | None
) -> Callable[[Graph, Node], None]:
    """A rule for x o c by `one` and c o x by `other`; None: refused."""

    def rule(graph: Graph, node: Node) -> None:
        first, second = (tensor in graph.constants for tensor in node.inputs)
        if not first and not second:
            return
        data, constant = node.inputs if second else node.inputs[::-1]
        make = one if second else other
        if make is None:
            raise CompileError(f"{node.name}: constant of {node.op} must be the second operand, not the first")
        numbers = channel_vector(constant_tensor(graph, constant).real, node, constant, _shape(graph, data))
        if node.op == "Div" and not np.all(numbers):
            raise CompileError(f"{node.name}: divisor {constant} must not be 0; repair the model")
        _become(node, data, *make(numbers))

    return rule


def _clip(graph: Graph, node: Node) -> None:
    _become(node, node.inputs[0], Clip(*clip_limits(graph, node)))


def _prelu(graph: Graph, node: Node) -> None:
    if node.inputs[1] not in graph.constants:
        raise CompileError(f"{node.name}: slope {node.inputs[1]} must be a constant, not computed; freeze the model")
    slope = constant_tensor(graph, node.inputs[1]).real
    slope = channel_vector(slope, node, node.inputs[1], _shape(graph, node.inputs[0]))
    _become(node, node.inputs[0], LeakyRelu(slope))


def _plain(make: Callable[[Node], Operator]) -> Callable[[Graph, Node], None]:
    return lambda graph, node: _become(node, node.inputs[0], make(node))


def _function(graph: Graph, node: Node) -> None:
    _become(node, node.inputs[0], Function(node.op, tuple(node.attrs.items())))


_RULES: dict[str, Callable[[Graph, Node], None]] = {
    **dict.fromkeys(FUNCTIONS, _function),
    "Quant": _quantize,
    "BipolarQuant": _quantize,
    "QuantizeLinear": _quantize,
    "Trunc": _trunc,
    "MultiThreshold": _multi_threshold,
    "BatchNormalization": _batch_norm,
    "Mul": _binary(lambda c: (Multiply(c),), lambda c: (Multiply(c),)),
    "Add": _binary(lambda c: (Add(c),), lambda c: (Add(c),)),
    "Sub": _binary(lambda c: (Add(-c),), lambda c: (Multiply(np.float32(-1)), Add(c))),
    "Div": _binary(lambda c: (Divide(c),), None),
    "Neg": _plain(lambda node: Multiply(np.float32(-1))),
    "Abs": _plain(lambda node: Abs()),
    "Relu": _plain(lambda node: Relu()),
    "LeakyRelu": _plain(lambda node: LeakyRelu(np.float32(node.attrs["alpha"]))),
    "PRelu": _prelu,
    "Clip": _clip,
    "HardTanh": _plain(lambda node: Clip(float(node.attrs["min_val"]), float(node.attrs["max_val"]))),
    "HardSigmoid": lambda graph, node: _become(
        node,
        node.inputs[0],
        Multiply(np.float32(node.attrs["alpha"])),
        Add(np.float32(node.attrs["beta"])),
        Clip(0.0, 1.0),
    ),
    "Sign": _plain(lambda node: Sign()),
    "Sigmoid": _plain(lambda node: Sigmoid()),
    "Tanh": _plain(lambda node: Tanh()),
}
