# SPDX-License-Identifier: Apache-2.0
"""Max and sum pools."""

from __future__ import annotations

from bitlens.fpga.lower.circuit import Circuit
from bitlens.fpga.lower.windows import add_windows
from bitlens.fpga.network import integer_bits
from bitlens.fpga.wiring import fixed_size
from bitlens.graph.graph import Node

__all__ = ["lower_pool"]


def lower_pool(circuit: Circuit, node: Node) -> None:
    """The largest integer of each window, or their sum."""
    source, total = circuit.source(node), node.op == "sum_pool"
    stream = add_windows(circuit, node, source, 0 if total else circuit.grid(node.inputs[0]).lo)
    bits, signed = integer_bits(circuit.grid(node.output)) if total else (source.bits, source.signed)
    kh, kw = node.attrs["kernel"]
    parameters = {
        "LANES": source.lanes,
        "FOLDS": source.folds,
        "TAPS": kh * kw,
        "IN_BITS": source.bits,
        "IN_SIGNED": int(source.signed),
        "OUT_BITS": bits,
        "SUM": int(total),
    }
    shape = fixed_size(node.name, circuit.graph.value(node.output).shape)
    pooled = circuit.add("pool", node.name, parameters, stream, layer=node.name, bits=bits, signed=signed, shape=shape)
    circuit.done(node.output, pooled)
