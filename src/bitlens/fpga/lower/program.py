# SPDX-License-Identifier: Apache-2.0
"""The table of rules, and the walk through a program that applies them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bitlens.fpga.folding import Fold
from bitlens.fpga.lower.circuit import Circuit
from bitlens.fpga.lower.conv import lower_conv
from bitlens.fpga.lower.joins import lower_add, lower_concat
from bitlens.fpga.lower.moves import lower_crop, lower_flatten, lower_upsample
from bitlens.fpga.lower.pools import lower_pool
from bitlens.fpga.lower.requantize import lower_rescale, lower_steps
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
}


def lower_program(program: Program, folding: Mapping[str, Fold], target: str = "generic") -> Network:
    """Build the circuit of a program.

    Args:
        program: of one input, with fixed sizes.
        folding: by the name of every conv.
        target: family of devices, one of `TARGETS`.

    Raises:
        FpgaError: an op has no element here, or a size is open.
    """
    if target not in TARGETS:
        raise FpgaError(f"target: must be one of {', '.join(TARGETS)}, not {target}")
    circuit = Circuit(program.graph, folding, target)
    entry = circuit.enter()
    for node in program.graph:
        if node.output not in circuit.taken:
            lower_node(circuit, node)
    network = Network("top", circuit.elements, circuit.wires, entry, circuit.leave(), target)
    size_queues(network)
    return network


def lower_node(circuit: Circuit, node: Node) -> None:
    """Add the elements of one op; the streams of its inputs are there.

    Raises:
        FpgaError: the op has no element.
    """
    rule = RULES.get(node.op)
    if rule is None:
        raise FpgaError(f"{node.name}: op must have an element in rtl/, not be {node.op}")
    rule(circuit, node)
