# SPDX-License-Identifier: Apache-2.0
"""Max and sum pools, and the largest channel."""

from __future__ import annotations

import numpy as np

from bitlens.fpga.lower.circuit import Circuit
from bitlens.fpga.lower.windows import add_windows
from bitlens.fpga.network import FpgaError, integer_bits
from bitlens.fpga.wiring import fixed_size
from bitlens.graph.graph import Node

__all__ = ["add_argmax", "lower_pool"]


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


def add_argmax(circuit: Circuit, tensor: str) -> None:
    """Let an output be the number of each pixel's largest channel."""
    value, stream = circuit.graph.value(tensor), circuit.streams[tensor].pop()
    if len(np.unique(value.scale)) != 1 or len(np.unique(value.offset)) != 1 or np.min(value.scale) <= 0:
        raise FpgaError(f"{tensor}: all channels must have one positive scale and one offset for argmax, not several")
    bits = max(1, (stream.shape[2] - 1).bit_length())
    parameters = {
        "LANES": stream.lanes,
        "FOLDS": stream.folds,
        "IN_BITS": stream.bits,
        "IN_SIGNED": int(stream.signed),
        "OUT_BITS": bits,
    }
    shape = (*stream.shape[:2], 1)
    largest = circuit.add("argmax", tensor, parameters, stream, shape=shape, bits=bits, signed=False, lanes=1)
    circuit.streams[tensor].append(largest)
