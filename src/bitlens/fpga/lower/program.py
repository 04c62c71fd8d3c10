# SPDX-License-Identifier: Apache-2.0
"""The table of rules, and the walk through a program that applies them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bitlens.fpga.folding import Fold
from bitlens.fpga.lower.circuit import Circuit
from bitlens.fpga.lower.conv import lower_conv
from bitlens.fpga.lower.joins import lower_add, lower_concat, lower_multiply
from bitlens.fpga.lower.moves import lower_crop, lower_flatten, lower_upsample
from bitlens.fpga.lower.orders import lower_depth_to_space, lower_select
from bitlens.fpga.lower.pools import add_argmax, lower_pool
from bitlens.fpga.lower.requantize import lower_lookup, lower_rescale, lower_steps
from bitlens.fpga.network import TARGETS, FpgaError, Network
from bitlens.fpga.queues import size_queues
from bitlens.graph.file import Program
from bitlens.graph.graph import Node

__all__ = ["RULES", "lower_node", "lower_program"]

RULES: dict[str, Callable[[Circuit, Node], None]] = {
    "conv": lower_conv,
    "steps": lower_steps,
    "rescale": lower_rescale,
    "max_pool": lower_pool,
    "sum_pool": lower_pool,
    "add": lower_add,
    "concat": lower_concat,
    "upsample": lower_upsample,
    "crop": lower_crop,
    "flatten": lower_flatten,
    "select": lower_select,
    "depth_to_space": lower_depth_to_space,
    "multiply": lower_multiply,
    "lookup": lower_lookup,
}


def lower_program(
    program: Program, folding: Mapping[str, Fold], target: str = "generic", *, argmax: bool = False
) -> Network:
    """Build the circuit of a program.

    Args:
        program: of one input, with fixed sizes.
        folding: by the name of every conv.
        target: family of devices, one of `TARGETS`.
        argmax: let every output be the number of each pixel's largest channel (the first where several are equal).

    Raises:
        FpgaError: a size is open, a fold does not divide its channels, or the largest real value need not be the largest
            integer of an output.
    """
    if target not in TARGETS:
        raise FpgaError(f"target: must be one of {', '.join(TARGETS)}, not {target}")
    circuit = Circuit(program.graph, folding, target)
    entry = circuit.enter()
    for node in program.graph:
        if node.output not in circuit.taken:
            lower_node(circuit, node)
    if argmax:
        for tensor in program.graph.outputs:
            add_argmax(circuit, tensor)
    network = Network("top", circuit.elements, circuit.wires, entry, circuit.leave(), target)
    size_queues(network)
    return network


def lower_node(circuit: Circuit, node: Node) -> None:
    """Add the elements of one op; the streams of its inputs are there."""
    RULES[node.op](circuit, node)
