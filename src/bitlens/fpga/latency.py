# SPDX-License-Identifier: Apache-2.0
"""How many cycles an element takes from the last beat in that a beat out needs to that beat, as the headers in `rtl/` say it."""

from __future__ import annotations

from bitlens.fpga.network import Element

__all__ = ["latency_of"]

_CYCLES = {
    "add": 1,
    "concat2": 1,
    "extend": 0,
    "fifo": 1,
    "fork2": 0,
    "multiply": 1,
    "narrow": 1,
    "pool": 1,
    "rescale": 5,
    "slide": 0,
    "steps": 4,
    "widen": 1,
}


def latency_of(element: Element) -> int:
    """Cycles of an element's pipeline, its queue of results included."""
    p = element.parameters
    match element.module:
        case "mvtu":
            return p["PE_LATENCY"] + (1 if element.modes["KERNEL"] == "lutrom" else 2) + 4
        case "hard":
            return p["LATENCY"] + 5
        case "bisect":
            return 2 * p["STAGES"] + 2
        case "window":
            return 3
        case module:
            return _CYCLES.get(module, 2)
