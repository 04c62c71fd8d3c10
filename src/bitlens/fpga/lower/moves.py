# SPDX-License-Identifier: Apache-2.0
"""Ops that move integers and compute nothing."""

from __future__ import annotations

from dataclasses import replace

from bitlens.fpga.lower.circuit import Circuit
from bitlens.fpga.wiring import fixed_size
from bitlens.graph.graph import Node

__all__ = ["lower_crop", "lower_flatten", "lower_upsample"]


def lower_upsample(circuit: Circuit, node: Node) -> None:
    """Copies of pixels or zeros between them, and pads."""
    attrs = node.attrs
    _enlarge(circuit, node, attrs["factor"], int(attrs["repeat"]), attrs["pads"][:2])


def lower_crop(circuit: Circuit, node: Node) -> None:
    """The top left part, of another tensor's size."""
    _enlarge(circuit, node, (1, 1), 1, (0, 0))


def lower_flatten(circuit: Circuit, node: Node) -> None:
    """All pixels as the channels of one: the stream stays as it is."""
    stream = circuit.read(node.inputs[0])
    height, width, channels = stream.shape
    circuit.done(node.output, replace(stream, shape=(1, 1, height * width * channels)))


def _enlarge(circuit: Circuit, node: Node, factor: tuple[int, int], repeat: int, pads: tuple[int, int]) -> None:
    stream, shape = circuit.source(node), fixed_size(node.name, circuit.graph.value(node.output).shape)
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
    circuit.done(node.output, circuit.add("upsample", node.name, parameters, stream, layer=node.name, shape=shape))
