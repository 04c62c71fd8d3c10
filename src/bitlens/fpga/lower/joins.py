# SPDX-License-Identifier: Apache-2.0
"""Where streams come together: sums, products and concatenations."""

from __future__ import annotations

from dataclasses import replace
from math import gcd

from bitlens.core.grid import Grid
from bitlens.fpga.folding import largest_divisor
from bitlens.fpga.lower.circuit import Circuit
from bitlens.fpga.lower.moves import enlarge
from bitlens.fpga.network import integer_bits
from bitlens.graph.graph import Node

__all__ = ["lower_add", "lower_concat", "lower_multiply"]


def lower_add(circuit: Circuit, node: Node) -> None:
    """The sum of two tensors of one shape."""
    _two_streams(circuit, node, "add")


def lower_multiply(circuit: Circuit, node: Node) -> None:
    """The product of two tensors of one shape, or of a tensor and one pixel (a gate)."""
    _two_streams(circuit, node, "multiply")


def _two_streams(circuit: Circuit, node: Node, module: str) -> None:
    grid = circuit.grid(node.output)
    a = circuit.source(node)
    b = circuit.read(node.inputs[1], a.lanes)
    if b.shape != a.shape:
        b = enlarge(circuit, node, b, a.shape, a.shape[:2], repeat=1)
    bits, _ = integer_bits(Grid.span(min(grid.lo, -1), max(grid.hi, 0)))  # signed, so that step tables can read it
    parameters = {
        "LANES": a.lanes,
        "A_BITS": a.bits,
        "A_SIGNED": int(a.signed),
        "B_BITS": b.bits,
        "B_SIGNED": int(b.signed),
        "OUT_BITS": bits,
    }
    circuit.done(node.output, circuit.join(module, node, parameters, a, b, replace(a, bits=bits, signed=True)))


def lower_concat(circuit: Circuit, node: Node) -> None:
    """Channels one after the other, on beats that all streams share."""
    bits, signed = integer_bits(circuit.grid(node.output))
    streams = [circuit.extended(circuit.read(tensor), bits, signed) for tensor in node.inputs]
    lanes = gcd(*(stream.shape[2] for stream in streams))
    lanes = largest_divisor(lanes, max(stream.lanes for stream in streams))
    whole, *rest = (circuit.to_lanes(stream, lanes) for stream in streams)
    for other in rest:
        parameters = {"WIDTH": whole.width, "A_FOLDS": whole.folds, "B_FOLDS": other.folds}
        shape = (*whole.shape[:2], whole.shape[2] + other.shape[2])
        whole = circuit.join("concat2", node, parameters, whole, other, replace(whole, shape=shape))
    circuit.done(node.output, whole)
