# SPDX-License-Identifier: Apache-2.0
"""Streams between elements: converters where lanes differ, forks and queues where a tensor has several readers."""

from __future__ import annotations

from dataclasses import replace
from math import gcd
from typing import Any

from bitlens.fpga.hardwired import Hardwired
from bitlens.fpga.memory import Memory
from bitlens.fpga.network import Element, FpgaError, Stream, integer_bits
from bitlens.fpga.products import Products
from bitlens.graph.graph import Graph, Node

__all__ = ["Wiring", "fixed_size", "only_input"]


class Wiring:
    """The circuit of a graph while it is built; tensors are born and read in the order of the nodes."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.elements: list[Element] = []
        self.wires: dict[str, int] = {}
        self.streams: dict[str, list[Stream]] = {}  # of a tensor, one for each reader

    def enter(self) -> Stream:
        """Let the only input come in.

        Raises:
            FpgaError: there are several, or its size is open.
        """
        name = only_input(self.graph)
        value = self.graph.value(name)
        assert value.grid is not None
        shape = fixed_size(name, value.shape)
        entry = Stream("s", shape, *integer_bits(value.grid), shape[2])
        self.wires["s"] = entry.width
        self._share(name, entry)
        return entry

    def leave(self) -> dict[str, Stream]:
        """Let the outputs go out, by the names users see."""
        outputs = {}
        for place, tensor in enumerate(self.graph.outputs):
            stream = self.streams[tensor].pop()
            self.wires[f"m{place}"] = self.wires.pop(stream.wire)
            self._rename(stream.wire, f"m{place}")
            outputs[self.graph.output_names.get(tensor, tensor)] = replace(stream, wire=f"m{place}")
        return outputs

    def _rename(self, old: str, new: str) -> None:
        for element in self.elements:
            for ports in (element.inputs, element.outputs):
                for port, wire in ports.items():
                    if wire == old:
                        ports[port] = new

    def read(self, tensor: str, lanes: int | None = None) -> Stream:
        """The stream of a tensor for one reader, `lanes` wide."""
        stream = self.streams[tensor].pop(0)
        return stream if lanes is None else self.to_lanes(stream, lanes)

    def to_lanes(self, stream: Stream, lanes: int) -> Stream:
        """Convert the width of beats, through the greatest common divisor where neither divides the other."""
        common = gcd(stream.lanes, lanes)
        if common < stream.lanes:
            stream = self.add(
                "narrow",
                stream.wire,
                {"WIDTH": common * stream.bits, "FACTOR": stream.lanes // common},
                stream,
                lanes=common,
            )
        if common < lanes:
            stream = self.add(
                "widen", stream.wire, {"WIDTH": stream.width, "FACTOR": lanes // common}, stream, lanes=lanes
            )
        return stream

    def add(
        self,
        module: str,
        name: str,
        parameters: dict[str, int],
        source: Stream,
        *,
        layer: str = "",
        cycles: int | None = None,
        memories: dict[str, Memory] | None = None,
        modes: dict[str, str] | None = None,
        sums: tuple[Hardwired, Products] | None = None,
        **changes: Any,
    ) -> Stream:
        """Add an element of one input and one output; returns its result."""
        result = replace(source, wire=self.fresh(f"{name}_{module}"), **changes)
        self.wires[result.wire] = result.width
        busy = max(source.beats, result.beats) if cycles is None else cycles
        self.elements.append(
            Element(
                result.wire,
                module,
                parameters,
                {"in": source.wire},
                {"out": result.wire},
                memories or {},
                layer,
                busy,
                modes or {},
                sums,
            )
        )
        return result

    def fresh(self, wish: str) -> str:
        """A wire name that is legal in Verilog and new."""
        name = "".join(character if character.isalnum() else "_" for character in wish)
        name = name if name[0].isalpha() else f"n_{name}"
        taken, count = name, 2
        while taken in self.wires:
            taken, count = f"{name}_{count}", count + 1
        return taken

    def _share(self, tensor: str, stream: Stream) -> None:
        """Let every reader of a tensor have a stream of its own."""
        readers = self.graph.outputs.count(tensor) + sum(_streams_in(node).count(tensor) for node in self.graph)
        found = []
        for _ in range(readers - 1):
            left, right = (self.fresh(f"{stream.wire}_{side}") for side in ("a", "b"))
            self.wires |= {left: stream.width, right: stream.width}
            self.elements.append(
                Element(
                    left,
                    "fork2",
                    {"WIDTH": stream.width},
                    {"in": stream.wire},
                    {"a": left, "b": right},
                    cycles=stream.beats,
                )
            )
            found.append(self._queue(replace(stream, wire=left)))
            stream = replace(stream, wire=right)
        self.streams[tensor] = [*found, self._queue(stream) if found else stream]

    def _queue(self, stream: Stream) -> Stream:
        """A queue behind a fork; how deep it must be is known when the circuit is whole (`queues.py`)."""
        return self.add("fifo", stream.wire, {"WIDTH": stream.width, "DEPTH": 2}, stream)

    def extended(self, stream: Stream, bits: int, signed: bool) -> Stream:
        """The same integers in more bits."""
        if stream.bits == bits:
            return replace(stream, signed=signed)
        parameters = {
            "LANES": stream.lanes,
            "IN_BITS": stream.bits,
            "IN_SIGNED": int(stream.signed),
            "OUT_BITS": bits,
        }
        return self.add("extend", stream.wire, parameters, stream, bits=bits, signed=signed)

    def done(self, tensor: str, stream: Stream) -> None:
        """A tensor is born."""
        self._share(tensor, stream)


def _streams_in(node: Node) -> list[str]:
    """The tensors whose integers a node reads; of its second input a crop reads the size alone."""
    return node.inputs[:1] if node.op == "crop" else node.inputs


def only_input(graph: Graph) -> str:
    """The tensor that comes in.

    Raises:
        FpgaError: there are several.
    """
    if len(graph.inputs) != 1:
        raise FpgaError(f"program: must have one input for a circuit, not {len(graph.inputs)}")
    return graph.inputs[0]


def fixed_size(name: str, shape: tuple[int | None, ...] | None) -> tuple[int, int, int]:
    """Height, width and channels.

    Raises:
        FpgaError: one of them is open.
    """
    height, width, channels = shape or (None, None, None)
    if height is None or width is None or channels is None:
        raise FpgaError(f"{name}: size must be fixed for a circuit, not symbolic; give --size HxW")
    return height, width, channels
