# SPDX-License-Identifier: Apache-2.0
"""A streaming circuit as data: elements of `rtl/`, their parameters and memories, and the wires between them.

A stream carries a tensor pixel by pixel, row by row; a pixel is `folds` beats of `lanes` channels, the first channels first
and lowest. Integers are two's complement where they may be negative, else unsigned.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bitlens.core.grid import Grid
from bitlens.fpga.hardwired import Hardwired
from bitlens.fpga.memory import Memory
from bitlens.fpga.products import Products
from bitlens.graph.graph import GraphError

__all__ = ["TARGETS", "Element", "FpgaError", "Network", "Stream", "integer_bits"]

TARGETS = ("generic", "xc7", "ecp5", "gowin")  # generic: arithmetic is left to the synthesis tool


class FpgaError(GraphError):
    """A program that has no circuit here, or a plan that does not fit; names layer, rule and value."""


@dataclass(frozen=True)
class Stream:
    """A wire with its handshake.

    Args:
        wire: name; data, valid and ready are named after it.
        shape: (height, width, channels) of the tensor.
        bits, signed: of one integer.
        lanes: integers a beat; divides the channels.
    """

    wire: str
    shape: tuple[int, int, int]
    bits: int
    signed: bool
    lanes: int

    @property
    def folds(self) -> int:
        """Beats of a pixel."""
        return self.shape[2] // self.lanes

    @property
    def beats(self) -> int:
        """Beats of an image."""
        return self.shape[0] * self.shape[1] * self.folds

    @property
    def width(self) -> int:
        """Bits of a beat."""
        return self.lanes * self.bits


@dataclass
class Element:
    """One instance of a module of `rtl/`.

    Args:
        name: of the instance, unique.
        module: file and module name.
        parameters: numbers; memories are parameters too, by file name.
        inputs, outputs: port prefix -> wire.
        memories: by parameter name; several of one parameter have .lane.stage behind it.
        layer: the program's layer it belongs to.
        cycles: how many cycles an image takes at least.
        modes: parameters that are words.
        sums: adders of a hard-wired layer, and the products they stand for.
    """

    name: str
    module: str
    parameters: dict[str, int]
    inputs: dict[str, str]
    outputs: dict[str, str]
    memories: dict[str, Memory] = field(default_factory=dict)
    layer: str = ""
    cycles: int = 0
    modes: dict[str, str] = field(default_factory=dict)
    sums: tuple[Hardwired, Products] | None = None


@dataclass
class Network:
    """A whole circuit.

    Args:
        name: of the top module.
        elements: in order of the data.
        wires: bits by wire.
        input: what comes in.
        outputs: by the name users see.
        target: family of devices whose primitives the circuit is built of, one of `TARGETS`.
    """

    name: str
    elements: list[Element]
    wires: dict[str, int]
    input: Stream
    outputs: dict[str, Stream]
    target: str = "generic"

    @property
    def bottleneck(self) -> Element:
        """The element that takes most cycles for an image."""
        return max(self.elements, key=lambda element: element.cycles)


def integer_bits(grid: Grid) -> tuple[int, bool]:
    """Bits of an integer of a grid, and whether it needs a sign."""
    if grid.lo >= 0:
        return max(1, int(grid.hi).bit_length()), False
    return max(int(grid.hi).bit_length(), int(-grid.lo - 1).bit_length()) + 1, True
