# SPDX-License-Identifier: Apache-2.0
"""Whether a circuit can stand still: beats are moved through it, without a clock, until all are out or none can move.

One run tells it for every timing. Elements are determinate: which beats they take and give depends on beats alone, so a
circuit stops at the same beat whenever its beats come. Between a queue and the next fork, join or output lies a chain of
elements; it takes no more beats than its next beat out needs, which every element can hold. So the run never counts on more
room than there is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bitlens.fpga.flow import Flow, flow_of
from bitlens.fpga.network import Element, Network

__all__ = ["Beats"]

IntArray = npt.NDArray[np.int64]


@dataclass
class _Chain:
    """Elements of one input and one output in a row.

    Args:
        start: the wire it begins with: the input's, a queue's, a join's.
        needs: how many beats of `start` each of its beats out needs.
        given: beats out so far.
    """

    start: str
    needs: IntArray
    given: int = 0

    def reach(self, there: int) -> int:
        """How many beats out that many beats in make."""
        return int(self.needs.searchsorted(there, "right"))

    def appetite(self, given: int) -> int:
        """How many beats in it may take in all, when that many beats out are given."""
        return int(self.needs[given]) if given < len(self.needs) else np.iinfo(np.int64).max


@dataclass
class _Join:
    """An element of two inputs.

    Args:
        ports: the chain that ends in each port, and how many of its beats each beat out needs.
    """

    ports: list[tuple[_Chain, IntArray]]
    given: int = 0


@dataclass
class _Queue:
    """A queue behind a fork: the element, the chain that it feeds, and how many beats went in and out."""

    element: Element
    drain: _Chain
    pushed: int = 0
    popped: int = 0

    @property
    def room(self) -> int:
        """How many beats may go in in all: what the chain takes anyway, and those that wait then."""
        return self.drain.appetite(self.drain.given) + self.element.parameters["DEPTH"]


@dataclass
class _End:
    """Where beats leave a chain for good: an output, or a fork with the queues behind it."""

    chain: _Chain
    queues: list[_Queue] = field(default_factory=list)


class Beats:
    """The beats of some images on their way through a circuit."""

    def __init__(self, network: Network, images: int) -> None:
        self.total = network.input.beats * images
        self.joins: dict[str, _Join] = {}
        self.queues: dict[str, _Queue] = {}
        self.ends: list[_End] = []
        forks: dict[str, _End] = {}  # by the wires of their outputs
        identity = np.arange(1, self.total + 1)
        chains = {network.input.wire: _Chain(network.input.wire, identity)}
        for element in network.elements:
            (first, *_) = element.inputs.values()
            if element.module == "fork2":
                end = forks.get(first)
                if end is None:
                    end = _End(chains[first])
                    self.ends.append(end)
                forks |= dict.fromkeys(element.outputs.values(), end)
                continue
            (output,) = element.outputs.values()
            if first in forks:
                end = forks[first]
                chains[output] = _Chain(output, np.arange(1, len(end.chain.needs) + 1))
                self.queues[output] = _Queue(element, chains[output])
                end.queues.append(self.queues[output])
            elif len(element.inputs) == 1:
                chain = chains[first]
                needed = _needed(flow_of(element), "in", len(chain.needs))
                chains[output] = _Chain(chain.start, np.where(needed > 0, chain.needs[np.maximum(needed, 1) - 1], 0))
            else:
                flow = flow_of(element)
                ports = [
                    (chains[wire], _needed(flow, port, len(chains[wire].needs)))
                    for port, wire in element.inputs.items()
                ]
                count = min(len(needs) for _, needs in ports)
                self.joins[output] = _Join(ports)
                chains[output] = _Chain(output, np.arange(1, count + 1))
        self.ends += [_End(chains[stream.wire]) for stream in network.outputs.values()]
        for chain in (*(end.chain for end in self.ends), *(c for join in self.joins.values() for c, _ in join.ports)):
            if chain.start in self.queues:
                self.queues[chain.start].drain = chain
        self._beside = self._find_neighbours()

    def _find_neighbours(self) -> list[list[int]]:
        """For each end those that may move after it did: they fill a queue that it takes from, or take from one it fills."""
        names = {id(queue): wire for wire, queue in self.queues.items()}
        takes = [self._taken_from(end.chain.start) for end in self.ends]
        fills = [{names[id(queue)] for queue in end.queues} for end in self.ends]
        count = range(len(self.ends))
        return [[other for other in count if fills[other] & takes[one] or takes[other] & fills[one]] for one in count]

    def _taken_from(self, start: str) -> set[str]:
        """The queues that a chain takes from, through joins."""
        if start in self.joins:
            return set().union(*(self._taken_from(chain.start) for chain, _ in self.joins[start].ports))
        return {start} & self.queues.keys()

    def run(self) -> list[str]:
        """Move beats until all are out.

        Returns:
            The outputs of the queues that are full where nothing moves any more; empty when all beats are out.
        """
        waiting = dict.fromkeys(range(len(self.ends)))  # in order
        while waiting:
            place = next(iter(waiting))
            del waiting[place]
            if self._move(self.ends[place]):
                waiting |= dict.fromkeys(self._beside[place])
        if all(end.chain.given == len(end.chain.needs) for end in self.ends):
            return []
        return [wire for wire, queue in self.queues.items() if queue.pushed == queue.room]

    def _move(self, end: _End) -> bool:
        chain = end.chain
        room = min((queue.room for queue in end.queues), default=len(chain.needs))
        given = min(room, chain.reach(self._there(chain.start)))
        moved = given > chain.given
        chain.given = given
        for queue in end.queues:
            queue.pushed = given
        return self._take(chain) or moved

    def _there(self, start: str) -> int:
        """How many beats of a chain's start can be had in all."""
        if start in self.queues:
            return self.queues[start].pushed
        if start not in self.joins:
            return self.total
        return min(
            int(needs.searchsorted(chain.reach(self._there(chain.start)), "right"))
            for chain, needs in self.joins[start].ports
        )

    def _take(self, chain: _Chain) -> bool:
        """Let a chain take from where it begins what it may."""
        taken = min(self._there(chain.start), chain.appetite(chain.given))
        if chain.start in self.queues:
            queue = self.queues[chain.start]
            moved, queue.popped = taken > queue.popped, max(taken, queue.popped)
            return moved
        if chain.start not in self.joins:
            return False
        join, moved = self.joins[chain.start], False
        join.given = taken
        for part, needs in join.ports:
            part.given = int(needs[taken - 1]) if taken else 0
            moved |= self._take(part)
        return moved


def _needed(flow: Flow, port: str, there: int) -> IntArray:
    return flow.needed(port, there // flow.takes[port] * flow.gives)
