# SPDX-License-Identifier: Apache-2.0
"""Ops that put integers into another order: channel selections, shuffles, depth to space."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bitlens.fpga.lower.circuit import Circuit
from bitlens.fpga.memory import pack_fields
from bitlens.fpga.network import Stream
from bitlens.fpga.wiring import fixed_size
from bitlens.graph.graph import Node

__all__ = ["lower_depth_to_space", "lower_select"]

IntArray = npt.NDArray[np.int64]


def lower_select(circuit: Circuit, node: Node) -> None:
    """Some channels of every pixel, in any order."""
    stream = circuit.source(node)
    channels = np.asarray(node.attrs["channels"], np.int64)
    _reorder(circuit, node, stream, channels, stream.shape[2])


def lower_depth_to_space(circuit: Circuit, node: Node) -> None:
    """Channels of a pixel as a block of pixels, a row of the image at a time."""
    stream, block = circuit.source(node), node.attrs["block"]
    _, width, channels = stream.shape
    order = np.arange(width * channels).reshape(width, block, block, channels // block**2)  # (x, i, j, c)
    _reorder(circuit, node, stream, order.transpose(1, 0, 2, 3).ravel(), width * channels)


def _reorder(circuit: Circuit, node: Node, stream: Stream, order: IntArray, takes: int) -> None:
    """Integers of blocks of `takes`, in the order of their numbers; on the most lanes that keep together."""
    shape = fixed_size(node.name, circuit.graph.value(node.output).shape)
    lanes = next(n for n in range(stream.lanes, 0, -1) if _keeps_together(order, n, stream.shape[2], shape[2]))
    stream = circuit.to_lanes(stream, lanes)
    beats = order[::lanes] // lanes
    parameters = {"BEAT": stream.width, "TAKES": takes // lanes, "GIVES": len(beats)}
    memories = {"ORDER": pack_fields((beats[:, None], max(1, (takes // lanes - 1).bit_length())))}
    result = circuit.add("reorder", node.name, parameters, stream, layer=node.name, memories=memories, shape=shape)
    circuit.done(node.output, result)


def _keeps_together(order: IntArray, lanes: int, channels_in: int, channels_out: int) -> bool:
    """Whether beats of so many lanes stay whole."""
    if channels_in % lanes or channels_out % lanes:
        return False
    beats = order.reshape(-1, lanes)
    return bool((beats[:, 0] % lanes == 0).all() and (beats == beats[:, :1] + np.arange(lanes)).all())
