# SPDX-License-Identifier: Apache-2.0
"""Tables: steps that stand alone, rescales, biases (rescales whose multiplier is 1), lookups."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bitlens.core.grid import Grid
from bitlens.fpga.bisection import bisection, stages_of
from bitlens.fpga.folding import largest_divisor
from bitlens.fpga.lower.circuit import MOST_COMPARED, Circuit
from bitlens.fpga.memory import pack_fields, rescale_table, step_table, whole_table
from bitlens.fpga.network import FpgaError, Stream, integer_bits
from bitlens.fpga.rescales import least_rescale
from bitlens.graph.graph import Node

__all__ = ["add_bias", "lower_lookup", "lower_rescale", "lower_steps"]

IntArray = npt.NDArray[np.int64]
_MOST_LEVELS = 65535  # breakpoints of a step table: codes of 16 bits


def lower_steps(circuit: Circuit, node: Node) -> None:
    """A step table behind anything but a convolution."""
    breakpoints, values = whole_table(node.attrs)
    levels = breakpoints.shape[1]
    if levels > _MOST_LEVELS:
        raise FpgaError(f"{node.name}: step tables must have at most {_MOST_LEVELS} breakpoints, not {levels}")
    stream = circuit.source(node)
    top = (
        1 << (stream.bits - stream.signed)
    ) - 1  # two's complement, and an integer for breakpoints that nothing reaches
    searched = levels > MOST_COMPARED
    beyond = int(breakpoints.max()) > top or (searched and (levels + 1) & levels != 0)
    wanted = stream.bits + (not stream.signed) + beyond
    stream = circuit.extended(stream, wanted, True)
    bits, signed = integer_bits(circuit.grid(node.output))
    rows = max(len(breakpoints), stream.lanes)
    parameters = {
        "LANES": stream.lanes,
        "FOLDS": stream.folds,
        "ROWS": rows // stream.lanes,
        "IN_BITS": stream.bits,
        "OUT_BITS": bits,
    }
    if searched:
        memories, first = bisection(breakpoints, values, rows, stream.lanes, stream.bits, bits)
        parameters |= {"STAGES": stages_of(levels), "COUNTS": int(first is not None), "FIRST": first or 0}
    else:
        memories = {"TABLE": step_table(breakpoints, values, rows, stream.lanes, stream.bits, bits, None)}
        parameters["LEVELS"] = levels
    module = "bisect" if searched else "steps"
    codes = circuit.add(
        module, node.name, parameters, stream, layer=node.name, memories=memories, bits=bits, signed=signed
    )
    circuit.done(node.output, codes)


def lower_rescale(circuit: Circuit, node: Node) -> None:
    """Multiply, add, shift and clamp, by channel."""
    attrs, stream = node.attrs, circuit.source(node)
    rows, source = (attrs["multiplier"], attrs["addend"], attrs["shift"]), circuit.grid(node.inputs[0])
    grid = Grid.span(attrs["lo"], attrs["hi"])
    found = least_rescale(*rows, source.lo, source.hi, grid)
    if found is None:
        raise FpgaError(f"{node.name}: rescale must keep to 60 bits with one shift for all channels, not need more")
    circuit.done(node.output, _add_rescale(circuit, node, stream, *found, grid, (source.lo, source.hi)))


def lower_lookup(circuit: Circuit, node: Node) -> None:
    """A row of a table for every integer: a fold may say how many columns at once."""
    stream, table = circuit.read(node.inputs[0]), np.asarray(node.attrs["table"], np.int64)
    bits, signed = integer_bits(circuit.grid(node.output))
    rows, columns = table.shape
    fold = circuit.folding.get(node.name)
    lanes = largest_divisor(columns, fold.pe if fold else 1)
    parameters = {"IN_BITS": stream.bits, "ROWS": rows, "FOLDS": columns // lanes, "BEAT": lanes * bits}
    found = circuit.add(
        "lookup",
        node.name,
        parameters,
        stream,
        layer=node.name,
        memories={"TABLE": pack_fields((table.reshape(-1, lanes), bits))},
        bits=bits,
        signed=signed,
        lanes=lanes,
        shape=(*stream.shape[:2], columns),
    )
    circuit.done(node.output, found)


def add_bias(circuit: Circuit, node: Node, sums: Stream, bias: IntArray) -> Stream:
    """Sums of a node with their bias (channels,), by a rescale whose multiplier is 1."""
    ones, reach = np.ones(len(bias), np.int64), 1 << sums.bits
    return _add_rescale(circuit, node, sums, ones, bias, 0, circuit.grid(node.output), (-reach, reach))


def _add_rescale(
    circuit: Circuit,
    node: Node,
    stream: Stream,
    multiplier: IntArray,
    addend: IntArray,
    shift: int,
    grid: Grid,
    reach: tuple[int, int],
) -> Stream:
    """The element; `reach` is the range of what comes in."""
    totals = np.stack([multiplier * end + addend for end in reach])
    rows = max(len(multiplier), stream.lanes)
    table, (multiplier_bits, addend_bits) = rescale_table(multiplier, addend, rows, stream.lanes)
    bits, signed = integer_bits(grid)
    parameters = {
        "LANES": stream.lanes,
        "FOLDS": stream.folds,
        "ROWS": table.depth,
        "IN_BITS": stream.bits,
        "IN_SIGNED": int(stream.signed),
        "MULTIPLIER_BITS": multiplier_bits,
        "ADDEND_BITS": addend_bits,
        "TOTAL_BITS": int(np.abs(totals).max()).bit_length() + 1,
        "SHIFT": shift,
        "OUT_BITS": bits,
        "LO": grid.lo,
        "HI": grid.hi,
    }
    memories = {"TABLE": table}
    return circuit.add(
        "rescale", node.name, parameters, stream, layer=node.name, memories=memories, bits=bits, signed=signed
    )
