# SPDX-License-Identifier: Apache-2.0
"""The model of every element."""

from __future__ import annotations

from collections.abc import Callable

from bitlens.fpga.models import moves, sums, tables
from bitlens.fpga.models.lanes import IntArray
from bitlens.fpga.network import Element

__all__ = ["MODELS", "model"]

MODELS: dict[str, Callable[..., IntArray]] = {
    "add": sums.add,
    "argmax": sums.argmax,
    "bisect": tables.bisect,
    "concat2": moves.concat2,
    "depthwise": sums.depthwise,
    "extend": moves.extend,
    "fifo": moves.same,
    "fork2": moves.same,
    "lookup": tables.lookup,
    "multiply": sums.multiply,
    "narrow": moves.narrow,
    "pool": sums.pool,
    "reorder": moves.reorder,
    "rescale": tables.rescale,
    "slide": moves.slide,
    "steps": tables.steps,
    "upsample": moves.upsample,
    "widen": moves.widen,
    "window": moves.window,
}


def model(element: Element, *beats: IntArray) -> IntArray:
    """The beats that an element gives.

    Args:
        element: what and with which parameters.
        beats: words of each input port in order, whole periods of the element's flow.
    """
    return MODELS[element.module](element.parameters, element.memories, *beats)
