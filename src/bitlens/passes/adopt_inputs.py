# SPDX-License-Identifier: Apache-2.0
"""Let the program begin with integers: an input takes over the grid of the quantizer it goes into.

Float operators between the two (2x - 1, a mean and a deviation per channel, a clip) go outside with it, as long as they rise
in a straight line: what quantizes a*x + b with scale s quantizes x with scale s/a and offset -b/a.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.core.grid import Grid
from bitlens.core.reference import (
    Add,
    BatchNorm,
    Chain,
    Clip,
    Count,
    Divide,
    Multiply,
    Operator,
    Quantize,
    Relu,
    ends_in_codes,
    evaluate,
)
from bitlens.graph.graph import Graph, Node, Value
from bitlens.graph.quantizer import rename_unit
from bitlens.graph.rewrite import replace_tensor
from bitlens.graph.spec import CompileError

__all__ = ["adopt_inputs", "input_rounding"]

FloatArray = npt.NDArray[np.floating[Any]]

_CLOSE = 1e-6  # of the largest threshold: what float32 leaves of even steps


def adopt_inputs(graph: Graph) -> None:
    """Give every real input the grid and scale of its quantizer, and remove the quantizer.

    Raises:
        CompileError: an input goes into something else than one quantizer.
    """
    for name in graph.inputs:
        if graph.value(name).grid is not None:
            continue
        nodes = _until_quantizer(graph, name)
        adopted = _adopted(graph, name, nodes) if nodes else None
        if adopted is None:
            readers = ", ".join(node.name for node in graph.consumers(name)) or "nothing"
            raise CompileError(
                f"{name}: input must go into one quantizer, not into {readers}; "
                "quantize it first, 8 bits unsigned with scale 1/255 for images"
            )
        _replace(graph, nodes, adopted)


def _until_quantizer(graph: Graph, name: str) -> list[Node]:
    """The chain nodes from an input to its quantizer, that included; none where it has no quantizer of its own."""
    nodes: list[Node] = []
    while not nodes or not ends_in_codes(nodes[-1].attrs["chain"]):
        tensor = nodes[-1].output if nodes else name
        consumers = graph.consumers(tensor)
        if len(consumers) != 1 or consumers[0].op != "chain" or tensor in graph.outputs:
            return []
        nodes += consumers
    return nodes


def _adopted(graph: Graph, name: str, nodes: list[Node]) -> Value | None:
    """The input as integers of its quantizer, or None where what lies between is no rising straight line."""
    *between, quantizer = (operator for node in nodes for operator in node.attrs["chain"])
    steps, line = _steps(graph, nodes[-1]), _line(between)
    grid = _reached(graph, nodes[-1], (*between, quantizer))
    if steps is None or line is None or grid is None:
        return None
    (unit, zero), (slope, intercept) = steps, line
    scale, offset = np.asarray(unit / slope, np.float32), np.asarray((zero - intercept) / slope, np.float32)
    rounding = _rounding(name, quantizer)
    return graph.value(name).with_(grid=grid, scale=scale, offset=offset + np.float32(0), rounding=rounding)


def _steps(graph: Graph, node: Node) -> tuple[FloatArray, FloatArray] | None:
    """Real value of one integer, and of integer 0, in front of a quantizer, () or (C,); None where its steps are uneven."""
    quantizer, factor, shift = node.attrs["chain"][-1], node.attrs["factor"], node.attrs["shift"]
    if isinstance(quantizer, Quantize):
        return np.asarray(quantizer.scale / np.float32(factor)), np.zeros(())
    first, count = quantizer.thresholds[:, 0].astype(np.float64), quantizer.thresholds.shape[1]
    if count == 1:  # any step will do
        step = np.full(len(first), float(graph.value(node.output).scale) * factor)
    else:
        step = (quantizer.thresholds[:, -1] - first) / (count - 1)
    even = first[:, None] + step[:, None] * np.arange(count)  # (C, J)
    if np.any(np.abs(even - quantizer.thresholds) > _CLOSE * np.abs(even).max()) or np.any(step <= 0):
        return None
    # code c, the integer factor * c + shift, lies between first + (c - 1) * step and first + c * step
    zero = first - step / 2 - shift * step / factor
    unit = step / factor
    return (unit[0], zero[0]) if len(first) == 1 else (unit, zero)


def _line(operators: list[Operator]) -> tuple[FloatArray, FloatArray] | None:
    """Slope and intercept of operators, float64 () or (C,), as if they did not clip; None where it is no rising line."""
    slope, intercept = np.ones(()), np.zeros(())
    for operator in operators:
        match operator:
            case Multiply(values):
                slope, intercept = slope * values, intercept * values
            case Divide(values):
                slope, intercept = slope / values, intercept / values
            case Add(values):
                intercept = intercept + values
            case BatchNorm():
                factor, addend = operator.affine()
                slope, intercept = slope * factor, intercept * factor + addend
            case Clip() | Relu():
                pass
            case _:
                return None
    rising = np.all(np.isfinite(slope)) and np.all(slope > 0) and np.all(np.isfinite(intercept))
    return (slope, intercept) if rising else None


def _reached(graph: Graph, node: Node, chain: Chain) -> Grid | None:
    """The integers that come out of a quantizer behind clips; None where they differ from channel to channel."""
    grid = graph.value(node.output).grid
    assert grid is not None
    lo, hi = grid.lo, grid.hi
    for place, operator in enumerate(chain):
        for side, limit in enumerate(_limits(operator)):
            if not np.isfinite(limit):
                continue
            codes = np.unique(evaluate((Add(np.float32(limit)), *chain[place + 1 :]), 0))
            if len(codes) > 1:
                return None
            integer = node.attrs["factor"] * int(codes[0]) + node.attrs["shift"]
            lo, hi = (max(lo, integer), hi) if side == 0 else (lo, min(hi, integer))
    return Grid(lo, hi, grid.step) if lo < hi else None


def _limits(operator: Operator) -> tuple[float, float]:
    match operator:
        case Clip(lo, hi):
            return lo, hi
        case Relu():
            return 0.0, np.inf
    return -np.inf, np.inf


def _replace(graph: Graph, nodes: list[Node], adopted: Value) -> None:
    """Let the input's integers take the place of the quantizer's."""
    node, name = nodes[-1], adopted.name
    value = graph.value(node.output)
    graph.values[name] = adopted
    if np.array_equal(adopted.scale, value.scale) and not np.any(adopted.offset):
        graph.nodes = [other for other in graph.nodes if other not in nodes]
        replace_tensor(graph, node.output, name)
        return
    # the model reads its integers in another unit: a table that gives them back names it, until tables are dropped
    graph.nodes = [other for other in graph.nodes if other not in nodes[:-1]]
    node.inputs, node.attrs = [name], rename_unit(adopted)
    graph.values[node.output] = value.with_(grid=adopted.grid)


def _rounding(name: str, quantizer: Quantize | Count) -> str:
    """How users' real values are rounded, as the model's quantizer does; a sign is the nearest of -1 and 1."""
    if isinstance(quantizer, Count):
        return "NEAREST"
    zero_point = float(np.asarray(quantizer.zero_point).reshape(-1)[0])
    return input_rounding(name, quantizer.rounding, zero_point, quantizer.lo, quantizer.hi)


def input_rounding(name: str, rounding: str, zero_point: float, lo: int, hi: int) -> str:
    """The name that an input's record has for a quantizer's rounding.

    The quantizer rounds x / scale + zero point, the record x / scale: a whole zero point between the two changes what looks
    at the sign or at even numbers. On codes of one sign another rounding does the same.

    Args:
        name: the input's, for the sentence.
        rounding, zero_point, lo, hi: of the quantizer; codes are clamped to lo..hi before they are rounded.

    Raises:
        CompileError: no rounding of x / scale does the same.
    """
    plain = {"SIGN": "NEAREST", "HALF_EVEN": "ROUND"}.get(rounding, rounding)
    moved = zero_point if zero_point.is_integer() else zero_point + 0.5  # half is in the record, as an odd grid
    if moved == 0 or plain in ("FLOOR", "CEIL", "NEAREST"):
        return plain
    if plain == "ROUND":
        return "ROUND" if moved % 2 == 0 else "ROUND_ODD"
    if lo >= 0:
        return {"HALF_UP": "NEAREST", "DOWN": "FLOOR", "UP": "CEIL", "HALF_DOWN": "HALF_FLOOR"}[plain]
    if hi <= 0:
        return {"HALF_UP": "HALF_FLOOR", "DOWN": "CEIL", "UP": "FLOOR", "HALF_DOWN": "NEAREST"}[plain]
    raise CompileError(
        f"{name}: rounding of the input's quantizer must be ROUND, FLOOR or CEIL at a zero point of a signed grid, "
        f"not {rounding} at {zero_point:g}; use another rounding, or no zero point"
    )
