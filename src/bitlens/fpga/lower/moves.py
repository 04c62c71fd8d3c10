# SPDX-License-Identifier: Apache-2.0
"""Ops that move integers and compute nothing."""

from __future__ import annotations

from dataclasses import replace

from bitlens.fpga.lower.circuit import Circuit
from bitlens.fpga.network import Stream
from bitlens.fpga.wiring import fixed_size
from bitlens.graph.graph import Node

__all__ = ["enlarge", "lower_crop", "lower_flatten", "lower_upsample"]


def lower_upsample(circuit: Circuit, node: Node) -> None:
    """Copies of pixels or zeros between them, and pads."""
    attrs = node.attrs
    shape = fixed_size(node.name, circuit.graph.value(node.output).shape)
    stream = circuit.source(node)
    repeat, pads = int(attrs["repeat"]), attrs["pads"][:2]
    circuit.done(node.output, enlarge(circuit, node, stream, shape, attrs["factor"], repeat=repeat, pads=pads))


def lower_crop(circuit: Circuit, node: Node) -> None:
    """The top left part, of another tensor's size."""
    shape = fixed_size(node.name, circuit.graph.value(node.output).shape)
    circuit.done(node.output, enlarge(circuit, node, circuit.source(node), shape, (1, 1), repeat=1))


def lower_flatten(circuit: Circuit, node: Node) -> None:
    """All pixels as the channels of one: the stream stays as it is."""
    stream = circuit.read(node.inputs[0])
    height, width, channels = stream.shape
    circuit.done(node.output, replace(stream, shape=(1, 1, height * width * channels)))


def enlarge(
    circuit: Circuit,
    node: Node,
    stream: Stream,
    shape: tuple[int, int, int],
    factor: tuple[int, int],
    *,
    repeat: int,
    pads: tuple[int, int] = (0, 0),
) -> Stream:
    """Every pixel as a block of pixels; then pads above and left, or cuts.

    Args:
        shape: of the result.
        factor: height and width of a block.
        repeat: 1 fills a block with copies, 0 with zeros.
        pads: rows and columns of zeros in front; negative ones cut.
    """
    parameters = {
        "HEIGHT": stream.shape[0],
        "WIDTH": stream.shape[1],
        "FOLDS": stream.folds,
        "BEAT": stream.width,
        "FACTOR_H": factor[0],
        "FACTOR_W": factor[1],
        "REPEAT": repeat,
        "PAD_TOP": pads[0],
        "PAD_LEFT": pads[1],
        "OUT_HEIGHT": shape[0],
        "OUT_WIDTH": shape[1],
    }
    return circuit.add("upsample", node.name, parameters, stream, layer=node.name, shape=shape)
