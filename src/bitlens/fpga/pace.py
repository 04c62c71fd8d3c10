# SPDX-License-Identifier: Apache-2.0
"""How many cycles a circuit takes, without simulating it.

The circuit is cut into chains: elements in a line, that pass beats on as they come. Chains meet where rows wait: at rings of
windows, at upsampling, at queues; and where beats must wait for others, at joins, or for a whole image. Of every row of every
chain the model computes when it begins and ends, from

    begin = max(the row before is through, what it reads is there, there is room for what it writes)
    end   = begin + the busiest element's cycles for a row + what is still in the pipelines

Inside a row beats are taken to flow evenly. That is what makes the model fast, and its only error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bitlens.fpga.flow import flow_of
from bitlens.fpga.latency import latency_of
from bitlens.fpga.network import Element, FpgaError, Network

__all__ = ["Pace", "predict_pace"]

_FRAMES = 5


@dataclass(frozen=True)
class Pace:
    """What `predict_pace` finds.

    Args:
        latency: cycles from the first beat in to the last beat out, of the first image.
        interval: cycles from image to image once the circuit is full.
    """

    latency: int
    interval: int

    def cycles(self, images: int) -> int:
        """Cycles for so many images one after the other."""
        return self.latency + (images - 1) * self.interval


@dataclass
class _Chain:
    """Elements in a line; `begins` to `leaves` hold a cycle for every row so far.

    Args:
        rows: of an image.
        sources: what it reads: of the kinds below.
        spaces: what it writes.
        head: cycles from its first beat in to its first beat out.
        slack: cycles it can go on while nothing leaves, by the queues in it.
        reads, through, length: cycles from the first beat in to the last one taken, to where the next row may begin, and to the
            last beat out.
    """

    rows: int
    sources: list[_Link] = field(default_factory=list)
    spaces: list[_Link] = field(default_factory=list)
    head: int = 0
    slack: int = 0
    reads: int = 0
    through: int = 0
    length: int = 0
    begins: list[int] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)  # the last beat is in
    shows: list[int] = field(default_factory=list)  # the first beat is out
    ends: list[int] = field(default_factory=list)


@dataclass
class _Link:
    """Where one chain hands over to another.

    Args:
        writer, reader: chains; none at the circuit's edges.
        kept: rows that have room in a ring; 0 where every beat is taken as it comes.
        queue: beats that have room in a queue, and beats of a row; 0, 0 where there is none.
        first, last: rows of an image that a row of the reader needs, by that row.
        whole: nothing goes on before an image is whole.
    """

    writer: _Chain | None
    reader: _Chain | None
    kept: int = 0
    first: list[int] = field(default_factory=list)
    last: list[int] = field(default_factory=list)
    queue: tuple[int, int] = (0, 0)
    whole: bool = False
    delay: int = 1


def predict_pace(network: Network) -> Pace:
    """Cycles of a circuit whose reader never waits and whose sender always has a beat.

    Raises:
        FpgaError: the circuit stands still.
    """
    chains = _cut(network)
    pending = True
    while pending:
        moved = False
        pending = False
        for chain in chains:
            while len(chain.begins) < _FRAMES * chain.rows and _advance(chain):
                moved = True
            pending |= len(chain.begins) < _FRAMES * chain.rows
        if pending and not moved:
            raise FpgaError("circuit: queues must hold what joins wait for, not stand still")
    outs = [chain for chain in chains if any(link.reader is None for link in chain.spaces)]
    whole = [max(chain.ends[frame * chain.rows + chain.rows - 1] for chain in outs) for frame in range(_FRAMES)]
    return Pace(whole[0] + 1, whole[-1] - whole[-2])


def _advance(chain: _Chain) -> bool:
    """Time one more row, if all it depends on is known."""
    row = len(chain.begins)
    frame, place = divmod(row, chain.rows)
    begin = chain.begins[-1] + chain.through if chain.begins else 0
    begin = max(begin, chain.taken[-1] + 1 if chain.taken else 0)
    last_in = 0
    for link in chain.sources:
        found = _arrival(link, frame, place, row)
        if found is None:
            return False
        begin, last_in = max(begin, found[0]), max(last_in, found[1])
    room = end_room = 0
    for link in chain.spaces:
        free = _room(link, chain, row)
        if free is None:
            return False
        room = max(room, free)
        end_room = max(end_room, _queue_room(link, row))
    begin = max(begin, room - chain.head - chain.slack)
    chain.begins.append(begin)
    chain.shows.append(max(begin + chain.head, room))
    chain.ends.append(
        max(
            begin + chain.length,
            last_in + chain.length - chain.reads,
            room + chain.length - chain.head - chain.slack,
            end_room,
        )
    )
    chain.taken.append(max(begin + chain.reads, last_in))
    return True


def _arrival(link: _Link, frame: int, place: int, row: int) -> tuple[int, int] | None:
    """When the first and the last beat of what a row needs can be read; None where that is not known yet."""
    writer = link.writer
    if writer is None:
        return 0, 0
    if link.whole:
        needed = (frame + 1) * writer.rows - 1
        return (writer.ends[needed] + link.delay,) * 2 if needed < len(writer.ends) else None
    if link.last:
        needed = frame * writer.rows + link.last[place]
        return (writer.ends[needed] + link.delay, 0) if needed < len(writer.ends) else None
    if row >= len(writer.ends):
        return None
    return writer.shows[row] + link.delay, writer.ends[row] + link.delay


def _room(link: _Link, writer: _Chain, row: int) -> int | None:
    """From when on a row may be written; None where that is not known yet."""
    reader = link.reader
    if reader is None:
        return 0
    if link.whole:  # the image before must have been taken
        frame, place = divmod(row, writer.rows)
        before = frame * reader.rows - 1
        if place or before < 0:
            return 0
        return reader.begins[before] + reader.through if before < len(reader.begins) else None
    if link.queue[0]:
        return _consumed(link, row * link.queue[1] - link.queue[0] + 1)
    back = row - link.kept if link.kept else row - 1
    if back < 0:
        return 0
    if not link.last:
        return reader.taken[back] + 1 if back < len(reader.taken) else None
    frame, place = divmod(back, writer.rows)
    last_user = max((user for user, first in enumerate(link.first) if first <= place), default=-1)
    needed = frame * reader.rows + last_user
    if needed < 0:
        return 0
    return reader.taken[needed] + 1 if needed < len(reader.taken) else None


def _queue_room(link: _Link, row: int) -> int:
    """When the last beat of a row has room in a queue, as far as the reader's past says that."""
    if link.reader is None or not link.queue[0]:
        return 0
    return _consumed(link, (row + 1) * link.queue[1] - link.queue[0]) or 0


def _consumed(link: _Link, beats: int) -> int | None:
    """When a reader has taken so many beats of a queue; None where that is not known yet."""
    reader = link.reader
    assert reader is not None
    if beats <= 0:
        return 0
    row, place = divmod(beats - 1, link.queue[1])
    if row >= len(reader.begins):
        return None
    begin, end = reader.begins[row], reader.taken[row]
    return begin + (end - begin) * place // max(1, link.queue[1] - 1) + 1


def _cut(network: Network) -> list[_Chain]:
    """The chains of a circuit, in order of the data."""
    chains: list[_Chain] = []
    start = _Chain(network.input.shape[0])
    start.sources.append(_Link(None, start))
    chains.append(start)
    # of a wire: chain it is in, rows and beats of an image
    wires: dict[str, tuple[_Chain, int, int]] = {"s": (start, network.input.shape[0], network.input.beats)}
    _extend(start, 0, network.input.beats // network.input.shape[0], 0, 0)
    for element in network.elements:
        _place(element, wires, chains)
    for stream in network.outputs.values():
        chain, _, _ = wires[stream.wire]
        chain.spaces.append(_Link(chain, None))
    return chains


def _place(element: Element, wires: dict[str, tuple[_Chain, int, int]], chains: list[_Chain]) -> None:
    p, (chain, rows, beats) = element.parameters, wires[next(iter(element.inputs.values()))]

    def begin(after: _Link, rows: int) -> _Chain:
        following = _Chain(rows)
        after.reader = following
        following.sources.append(after)
        if after.writer is not None:
            after.writer.spaces.append(after)
        chains.append(following)
        return following

    if element.module == "window":
        taps = p["KERNEL_H"] * p["KERNEL_W"] // (p["KERNEL_H"] if p["COLUMN"] else 1)
        tops = [row * p["STRIDE_H"] - p["PAD_TOP"] for row in range(p["OUT_HEIGHT"])]
        reach = p["DILATION_H"] * (p["KERNEL_H"] - 1)
        link = _ring(chain, p["ROWS"], p["HEIGHT"], tops, [top + reach for top in tops])
        link.delay = latency_of(element)
        following = begin(link, p["OUT_HEIGHT"])
        beats = p["OUT_HEIGHT"] * p["OUT_WIDTH"] * taps * p["FOLDS"]
        _extend(following, 0, beats // p["OUT_HEIGHT"], 0, 0)
        wires[element.outputs["out"]] = (following, p["OUT_HEIGHT"], beats)
    elif element.module == "upsample":
        lines = [(row - p["PAD_TOP"]) // p["FACTOR_H"] for row in range(p["OUT_HEIGHT"])]
        link = _ring(chain, 2, p["HEIGHT"], lines, lines)
        following = begin(link, p["OUT_HEIGHT"])
        beats = p["OUT_HEIGHT"] * p["OUT_WIDTH"] * p["FOLDS"]
        _extend(following, 0, beats // p["OUT_HEIGHT"], 0, 0)
        wires[element.outputs["out"]] = (following, p["OUT_HEIGHT"], beats)
    elif element.module == "fifo":
        following = begin(_Link(chain, None, queue=(p["DEPTH"], beats // rows)), rows)
        _extend(following, 0, beats // rows, 0, 0)
        wires[element.outputs["out"]] = (following, rows, beats)
    elif len(element.inputs) == 2:
        other = wires[element.inputs["b"]]
        following = begin(_Link(chain, None, delay=0), rows)
        link = _Link(other[0], following, delay=0)
        other[0].spaces.append(link)
        following.sources.append(link)
        beats = beats + other[2] if element.module == "concat2" else beats
        _extend(following, 1, beats // rows, 0, 1)
        wires[element.outputs["out"]] = (following, rows, beats)
    elif element.module == "sink":
        chain.spaces.append(_Link(chain, None))
    else:
        _line(element, chain, rows, beats, wires, begin)


def _ring(writer: _Chain, kept: int, height: int, first: list[int], last: list[int]) -> _Link:
    """Rows that stay until they have been read: `kept` of an image of `height`, of which each row read needs first to last."""

    def written(line: int) -> int:  # row of the writer, which may count several rows of the image as one
        return min(max(line, 0), height - 1) * writer.rows // height

    link = _Link(writer, None, max(1, kept * writer.rows // height), delay=2)
    link.first, link.last = [written(line) for line in first], [written(line) for line in last]
    return link


def _line(
    element: Element,
    chain: _Chain,
    rows: int,
    beats: int,
    wires: dict[str, tuple[_Chain, int, int]],
    begin: Callable[[_Link, int], _Chain],
) -> None:
    """An element that stands in a line: extends the chain, or begins one where it gathers a whole image."""
    p, module = element.parameters, element.module
    if module == "mvtu":
        vectors = beats // p["IN_FOLDS"]
        inner, outer = p["IN_FOLDS"], p["OUT_FOLDS"]
        pipe = latency_of(element)
        if vectors < rows:  # a vector is the whole image: its first pass goes at the pace of what comes
            chain = begin(_Link(chain, None, whole=True, delay=0), 1)
            _extend(chain, pipe, (outer - 1) * inner + 1, 0, pipe)
            wires[element.outputs["out"]] = (chain, 1, outer)
            return
        row = vectors // rows * inner * outer
        chain.slack += min(((pipe - 1) // inner + 2) * inner, row)
        _extend(chain, inner - 1 + pipe, row, (outer - 1) * inner, pipe)
        wires[element.outputs["out"]] = (chain, rows, vectors * outer)
    elif module in ("pool", "depthwise"):
        out = beats // p["TAPS"]
        pipe = latency_of(element)
        if out // p["FOLDS"] < rows:
            chain = begin(_Link(chain, None, whole=True, delay=1), 1)
            _extend(chain, 1, p["FOLDS"], 0, 1)
            wires[element.outputs["out"]] = (chain, 1, out)
            return
        _extend(chain, (p["TAPS"] - 1) * p["FOLDS"] + pipe, beats // rows, 0, pipe)
        wires[element.outputs["out"]] = (chain, rows, out)
    elif module == "narrow":
        out = beats * p["FACTOR"]
        _extend(chain, 1, out // rows, p["FACTOR"] - 1, 1)
        wires[element.outputs["out"]] = (chain, rows, out)
    elif module == "widen":
        out = beats // p["FACTOR"]
        if out < rows:
            chain = begin(_Link(chain, None, whole=True, delay=1), 1)
            rows = 1
        _extend(chain, p["FACTOR"], max(1, beats // rows), 0, 1)
        wires[element.outputs["out"]] = (chain, rows, out)
    else:
        flow, pipe = flow_of(element), latency_of(element)
        out = beats // flow.takes["in"] * flow.gives
        head = int(next(iter(flow.needs.values()))[0]) - 1 + pipe
        _extend(chain, head, max(1, max(beats, out) // rows), 0, pipe)
        for wire in element.outputs.values():
            wires[wire] = (chain, rows, out)


def _extend(chain: _Chain, head: int, row: int, after: int, pipe: int) -> None:
    """One element more at a chain's end.

    Args:
        head: cycles from its first beat in to its first beat out.
        row: cycles it is busy with a row.
        after: cycles it is busy after the last beat in.
        pipe: cycles of its pipeline.
    """
    begin = chain.head
    chain.length = max(chain.length + after + pipe, begin + row - 1 + pipe)
    chain.reads = max(chain.reads, row - after - 1)
    chain.through = max(chain.through, row)
    chain.head = begin + head
