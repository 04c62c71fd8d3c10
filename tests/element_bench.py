# SPDX-License-Identifier: Apache-2.0
"""A circuit of elements that stand alone: one stream of random words goes to all of them, each has an output of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bitlens.fpga.flow import flow_of
from bitlens.fpga.models import model
from bitlens.fpga.network import Element, Network, Stream
from bitlens.fpga.project import write_project
from bitlens.fpga.simulate import Simulator

__all__ = ["Bench", "bench_network"]


class Bench:
    """Elements side by side.

    Args:
        width: bits of a word of the stream, which is what every element takes.
        elements: module, parameters and memories; wires are made here.
        folder: of the project.
        beats: of the stream; of the last period that is not whole nothing is compared.
    """

    def __init__(self, width: int, elements: Sequence[Element], folder: Path, beats: int = 1000) -> None:
        self.width, self.beats = width, beats
        self.network = bench_network(width, elements, beats)
        self.elements = [element for element in self.network.elements if element.name in self.network.outputs]
        self.simulator = Simulator(self.network, write_project(self.network, folder))

    def compare(self, seed: int, pauses: tuple[float, float]) -> list[str]:
        """Names of the elements that gave anything but what their models give for random words."""
        rng = np.random.default_rng(seed)
        words = rng.integers(0, 1 << self.width, (1, 1, self.beats, 1))
        found = self.simulator.run(words, pauses=pauses, seed=seed).outputs
        stream, wrong = words.ravel(), []
        for element in self.elements:
            takes = flow_of(element).takes
            count = min(self.beats // take for take in takes.values())
            golden = model(element, *(stream[: count * take] for take in takes.values()))
            if not np.array_equal(found[element.name].ravel(), golden):
                wrong.append(element.name)
        return wrong


def bench_network(width: int, elements: Sequence[Element], beats: int = 1000) -> Network:
    """The circuit of elements side by side."""
    made: list[Element] = []
    chain: list[Element] = []
    wires, outputs, place = {"s": width}, {}, "s"
    flows = [flow_of(element) for element in elements]
    ports = [(number, port) for number, flow in enumerate(flows) for port in flow.takes]
    names: list[dict[str, str]] = [{} for _ in elements]
    for index, (number, port) in enumerate(ports):
        last = index == len(ports) - 1
        wire, rest = (place if last else f"w{index}"), f"r{index}"
        if not last:
            wires |= {wire: width, rest: width}
            chain.append(Element(f"fork{index}", "fork2", {"WIDTH": width}, {"in": place}, {"a": wire, "b": rest}))
            place = rest
        if elements[number].module == "concat2":  # takes from one side alone for a while
            queue = f"q{index}"
            wires[queue] = width
            depth = {"WIDTH": width, "DEPTH": beats}
            chain.append(Element(queue, "fifo", depth, {"in": wire}, {"out": queue}))
            wire = queue
        names[number][port] = wire
    for number, (element, flow) in enumerate(zip(elements, flows, strict=True)):
        bits = out_bits(element)
        wires[f"m{number}"] = bits
        count = min(beats // flow.takes[port] * flow.gives for port in flow.takes)
        alone = replace(element, name=f"{element.module}_{number}", inputs=names[number], outputs={"out": f"m{number}"})
        made.append(alone)
        outputs[alone.name] = Stream(f"m{number}", (1, count, 1), bits, False, 1)
    entry = Stream("s", (1, beats, 1), width, False, 1)
    cycles = max(entry.beats, *(stream.beats for stream in outputs.values()))
    chain[0].cycles = cycles
    return Network("top", [*chain, *made], wires, entry, outputs)


def out_bits(element: Element) -> int:
    """Bits of a beat that an element gives."""
    p = element.parameters
    match element.module:
        case "fifo" | "concat2" | "narrow":
            return p["WIDTH"]
        case "widen":
            return p["WIDTH"] * p["FACTOR"]
        case "window":
            return p["BEAT"] * (p["KERNEL_H"] if p["COLUMN"] else 1)
        case "slide":
            return p["BEAT"] * p["KERNEL"]
        case "upsample" | "reorder" | "lookup":
            return p["BEAT"]
        case "argmax":
            return p["OUT_BITS"]
    return p["LANES"] * p["OUT_BITS"]
