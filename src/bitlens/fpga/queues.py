# SPDX-License-Identifier: Apache-2.0
"""Depths of the queues behind forks: never so small that a circuit stands still, and not so small that it slows down.

First comes speed (`_Schedule`): the input comes evenly at the pace of the slowest element, every element takes the cycles it
takes, and a queue gets room for what then waits in it. What comes faster never makes anything later.

Then comes the proof (`standstill.py`): beats go through the circuit until all are out, or nothing moves any more. Then the
smallest full queue is made deeper, and on it goes (Parks 1995, Bounded scheduling of process networks, section 4.2).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bitlens.fpga.flow import Flow, flow_of
from bitlens.fpga.latency import latency_of
from bitlens.fpga.network import Element, Network
from bitlens.fpga.standstill import Beats

__all__ = ["size_queues"]

IntArray = npt.NDArray[np.int64]

_IMAGES = 3  # looked at: the first starts empty, the last has nobody behind it
_NEVER = np.iinfo(np.int64).max


def size_queues(network: Network) -> None:
    """Give every queue behind a fork the depth it needs."""
    forked = {wire for element in network.elements if element.module == "fork2" for wire in element.outputs.values()}
    behind = [element for element in network.elements if element.module == "fifo" and element.inputs["in"] in forked]
    queues = {element.outputs["out"]: element for element in behind}
    if not queues:
        return
    schedule = _Schedule(network)
    for queue in queues.values():
        queue.parameters["DEPTH"] = max(2, schedule.depth(queue))
    beats = Beats(network, _IMAGES)
    while full := beats.run():
        queue = min((queues[wire] for wire in full), key=lambda queue: queue.parameters["DEPTH"])
        queue.parameters["DEPTH"] += max(1, queue.parameters["DEPTH"] // 4)


class _Schedule:
    """In which cycle every beat of some images comes to be (`born`) and leaves its wire (`left`)."""

    def __init__(self, network: Network) -> None:
        self.flows = {element.name: flow_of(element) for element in network.elements}
        beats = np.arange(1, network.input.beats * _IMAGES + 1)
        pace = max(network.bottleneck.cycles, network.input.beats)
        self.born: dict[str, IntArray] = {network.input.wire: beats * pace // network.input.beats}
        for element in network.elements:
            self.born |= dict.fromkeys(element.outputs.values(), self._made(element))
        self.free = {stream.wire for stream in network.outputs.values()}  # wires whose beats wait for no join
        self.left: dict[str, IntArray] = {wire: self.born[wire] for wire in self.free}
        for element in reversed(network.elements):
            for port, wire in element.inputs.items():
                self.left[wire] = self._taken(element, port, wire)

    def depth(self, queue: Element) -> int:
        """Most beats that wait in a queue."""
        come, left = self.born[queue.inputs["in"]], self.left[queue.outputs["out"]]
        leaving = left[left < _NEVER]
        waiting = np.searchsorted(come, leaving, side="right") - np.arange(len(leaving))
        return int(waiting.max(initial=0))

    def _made(self, element: Element) -> IntArray:
        flow = self.flows[element.name]
        count = min(len(self.born[wire]) // flow.takes[port] * flow.gives for port, wire in element.inputs.items())
        times = np.maximum.reduce([self._there(flow, port, wire, count) for port, wire in element.inputs.items()])
        ticks = np.arange(count) * flow.pace
        return np.asarray(np.maximum.accumulate(times - ticks) + ticks + latency_of(element))

    def _there(self, flow: Flow, port: str, wire: str, count: int) -> IntArray:
        """When what a port must have taken for each beat out is there."""
        needed = flow.needed(port, count)
        return np.where(needed > 0, self.born[wire][np.maximum(needed, 1) - 1], 0)

    def _taken(self, element: Element, port: str, wire: str) -> IntArray:
        """When an element takes each beat of a port."""
        (output, *_) = element.outputs.values()
        flow, born = self.flows[element.name], self.born[wire]
        latest = len(element.inputs) == 1 or self._is_latest(element, port)
        if element.module != "fork2" and not (latest and output in self.free):
            uses = np.searchsorted(flow.needed(port, len(self.left[output])), np.arange(1, len(born) + 1))
            left = np.append(self.left[output], _NEVER)
            return np.asarray(left[np.minimum(uses, len(left) - 1)])
        self.free.add(wire)
        if element.module == "window":
            return np.maximum(born, _room(element, self.born[output], len(born)))
        if element.module == "mvtu":  # the next vector waits until the passes over this one are done
            vector = np.arange(len(born)) // flow.takes[port]
            return np.where(vector > 0, np.maximum(born, self.born[output][vector * flow.gives - 1]), born)
        return born

    def _is_latest(self, element: Element, port: str) -> bool:
        """Whether it is this port of a join that the others wait for."""
        count = len(self.born[element.outputs["out"]])
        sums = {p: int(self._there(self.flows[element.name], p, w, count).sum()) for p, w in element.inputs.items()}
        return max(sums, key=lambda p: sums[p]) == port


def _room(window: Element, given: IntArray, count: int) -> IntArray:
    """When the ring of a window has room for each beat that comes in."""
    p, gives = window.parameters, flow_of(window).gives
    rows = np.arange(count) // (p["WIDTH"] * p["FOLDS"])  # of all images
    gone = rows - p["ROWS"] + 1  # how many rows must have been let go
    first = np.clip(np.arange(p["OUT_HEIGHT"] + 1) * p["STRIDE_H"] - p["PAD_TOP"], 0, p["HEIGHT"])
    first[-1] = p["HEIGHT"]  # before an output row is read, the rows before this one are let go
    read = np.searchsorted(first, gone % p["HEIGHT"]) + gone // p["HEIGHT"] * p["OUT_HEIGHT"]
    beats = read * (gives // p["OUT_HEIGHT"])
    return np.where(beats > 0, given[np.clip(beats - 1, 0, len(given) - 1)], 0)
