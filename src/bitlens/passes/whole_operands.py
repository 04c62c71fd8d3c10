# SPDX-License-Identifier: Apache-2.0
"""Operands of integer operators that are whole numbers though a quantizer did not make them last.

    1 - u of gates u = U / 256 is (256 - U) / 256;   x / s of states x = s X is X;   f c in units of 2^-14 beside i j in 2^-16

Scale and offset of integers make integers again where the offset is a whole number of units; integers in two units have a
common one where the larger is a whole multiple of the smaller. Both become a `rescale` whose shift is 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bitlens.core.bounds import ACCUMULATOR_LIMIT
from bitlens.core.grid import Grid
from bitlens.core.reference import Add, Chain, Divide, Multiply
from bitlens.graph.graph import Graph, Node, Value
from bitlens.graph.rewrite import fresh_node, fresh_tensor
from bitlens.graph.units import common_unit, scaled_unit, whole_multiple

__all__ = ["align_operands", "settle_operand"]

FloatArray = npt.NDArray[np.float32]


def settle_operand(graph: Graph, node: Node, place: int) -> None:
    """Let a node read integers where its operand is an integer tensor with scale and whole offset; else change nothing."""
    chain: Chain = ()
    tensor = node.inputs[place]
    while graph.value(tensor).grid is None:
        producer = graph.producer(tensor)
        if producer is None or producer.op != "chain":
            return
        chain = (*producer.attrs["chain"], *chain)
        tensor = producer.inputs[0]
    if not chain:
        return
    value = graph.value(tensor)
    found = _whole_map(chain, value.scale)
    if found is None or value.grid is None:
        return
    sign, addend, unit = found
    if _fits(_ends(value.grid, sign, addend)):
        _read_rescaled(graph, node, place, value, sign, addend, unit)


def _whole_map(chain: Chain, unit: FloatArray) -> tuple[int, npt.NDArray[np.int64], FloatArray] | None:
    """(sign, addend, unit) with chain(unit * x) = unit' * (sign * x + addend); None where it is no such map."""
    sign, addend = 1, np.zeros((), np.int64)
    for operator in chain:
        match operator:
            case Multiply(values) | Divide(values):
                scaled = scaled_unit(unit, np.asarray(values, np.float32), divide=isinstance(operator, Divide))
                if scaled is None:
                    return None
                turn, unit = scaled
                sign, addend = turn * sign, turn * addend
            case Add(values):
                added = whole_multiple(np.asarray(values, np.float32), unit)
                if added is None:
                    return None
                addend = addend + added
            case _:
                return None
    return sign, np.asarray(addend), unit


def _ends(grid: Grid, factor: int, addend: npt.NDArray[np.int64]) -> tuple[int, int]:
    """The smallest and the largest of factor * x + addend."""
    lo, hi = sorted((factor * grid.lo, factor * grid.hi))
    return lo + int(addend.min()), hi + int(addend.max())


def _fits(ends: tuple[int, int]) -> bool:
    """Whether integers between these ends fit 32 bits."""
    return ends[0] >= -ACCUMULATOR_LIMIT and ends[1] <= ACCUMULATOR_LIMIT


def _read_rescaled(
    graph: Graph, node: Node, place: int, value: Value, factor: int, addend: npt.NDArray[np.int64], unit: FloatArray
) -> None:
    """Put factor * x + addend, in the given unit, in the place of an operand."""
    assert value.grid is not None
    lo, hi = _ends(value.grid, factor, addend)
    rows = np.atleast_1d(addend)
    name = fresh_tensor(graph, f"{value.name}.whole")
    graph.values[name] = Value(name, value.shape, Grid.span(lo, hi), unit)
    attrs = {
        "multiplier": np.full(len(rows), factor, np.int64),
        "addend": rows.astype(np.int64),
        "shift": np.zeros(len(rows), np.int64),
        "lo": lo,
        "hi": hi,
    }
    rescale = Node("rescale", fresh_node(graph, f"{node.name}.{place}.whole"), [value.name], [name], attrs)
    graph.nodes.insert(next(i for i, other in enumerate(graph.nodes) if other is node), rescale)
    node.inputs[place] = name


def align_operands(graph: Graph, node: Node) -> str:
    """Let all operands have one unit, that of the finest; return "", or the rule that they break."""
    values: Sequence[Value] = [graph.value(tensor) for tensor in node.inputs]
    found = common_unit([value.scale for value in values])
    if found is None:
        other = next((value for value in values if not np.array_equal(value.scale, values[0].scale)), values[-1])
        texts = [f"{value.scale.reshape(-1)[0]:.9g}" for value in (values[0], other)]
        return f"scales of the operands must be equal or whole multiples of the smallest, not {texts[0]} and {texts[1]}"
    (unit, factors), none = found, np.zeros((), np.int64)
    for place, (value, factor) in enumerate(zip(values, factors, strict=True)):
        if factor == 1 or value.grid is None:
            continue
        lo, hi = _ends(value.grid, factor, none)
        if not _fits((lo, hi)):
            return f"operands in the smallest of their units must stay within 32 bits, not reach [{lo}, {hi}]"
        _read_rescaled(graph, node, place, value, factor, none, unit)
    return ""
