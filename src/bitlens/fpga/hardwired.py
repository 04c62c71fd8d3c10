# SPDX-License-Identifier: Apache-2.0
"""The adders of a hard-wired layer: shared sums bit by bit, with a register at every level.

A signal is a row of bits, the lowest first. It holds its sum and a constant, so that it is never negative: to subtract is to
invert all bits, which adds a constant more. The constant of an output goes into its breakpoints. Tables of a group that are
equal or inverse are one. On xc7 adders take three numbers, and the full adder of their lowest bits stands apart, because it is
the same in many sums: where all weights of a group are odd, all its tables have the same lowest bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bitlens.fpga.cost import Cost
from bitlens.fpga.sharing import MOST_TABLE_BITS, Part, Shared, share_sums

__all__ = ["NUMBERS", "Adder", "Bit", "FullAdder", "Hardwired", "Tables", "hardwire"]

IntArray = npt.NDArray[np.int64]

NUMBERS = "numbers"  # net of the inputs
_LEAST_LATENCY = 2  # of the form that simulates fast (lanes.sv)


class Bit(NamedTuple):
    """A bit of a register; `net` is "" for a constant 0.

    Args:
        net: the register; `NUMBERS` for the inputs.
        place: in it.
        delay: cycles after it.
        inverted: whether the inverse is meant.
    """

    net: str = ""
    place: int = 0
    delay: int = 0
    inverted: bool = False


@dataclass(frozen=True)
class Tables:
    """Functions of the inputs of one group, registered.

    Args:
        net: of the results.
        first, bits: which bits of the numbers.
        columns: by result, its value for every index, that of index 0 lowest.
    """

    net: str
    first: int
    bits: int
    columns: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class FullAdder:
    """Sum of three bits of one weight and carries of theirs and their inverses, all registered; carries are also there at once.

    Args:
        net: of the sum, place 0, and of the carries.
        bits: none inverted; the last may be 0.
        carries: which bits each takes inverted.
    """

    net: str
    bits: tuple[Bit, Bit, Bit]
    carries: list[tuple[bool, bool, bool]] = field(default_factory=list)


@dataclass(frozen=True)
class Adder:
    """Sum of two or three numbers and a carry, registered.

    Args:
        net: of the result, one bit longer than the numbers.
        numbers: of equally many bits.
        carry: of a full adder, as a bit of its register; constant 0 for none.
    """

    net: str
    numbers: list[list[Bit]]
    carry: Bit


@dataclass
class Hardwired:
    """A layer of constants.

    Args:
        weights: (outputs, inputs).
        in_bits, in_signed: of an input; 2^(in_bits-1) is added to one with a sign.
        radix: numbers of an adder.
        nodes: in order of the data.
        totals: bits of every output.
        offsets: (outputs,) what a total has above its sum of weight * input.
        most: bound of the totals; the least is 0.
        latency: cycles.
        delays: by register the bits that are used, each with the most cycles that it waits.
    """

    weights: IntArray
    in_bits: int
    in_signed: bool
    radix: int
    nodes: list[Tables | FullAdder | Adder] = field(default_factory=list)
    totals: list[list[Bit]] = field(default_factory=list)
    offsets: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    most: int = 0
    latency: int = 0
    delays: dict[str, dict[int, int]] = field(default_factory=dict)

    @property
    def total_bits(self) -> int:
        """Of a total, in two's complement, and of a breakpoint that none reaches."""
        return (self.most + 1).bit_length() + 1

    @property
    def cost(self) -> Cost:
        """Lookup tables and registers."""
        lut = 0
        for node in self.nodes:
            if isinstance(node, Tables):
                lut += -(-len(node.columns) // 2) if self.radix == 3 else len(node.columns)
            else:  # a full adder gives a sum and carries
                lut += len(node.numbers[0]) if isinstance(node, Adder) else -(-(1 + len(node.carries)) // 2)
        ff = sum(most + (net != NUMBERS) for net, bits in self.delays.items() for most in bits.values())
        return Cost(lut, ff)


def hardwire(weights: IntArray, in_bits: int, in_signed: bool, radix: int) -> Hardwired:
    """Build the adders of a layer.

    Args:
        weights: (outputs, inputs).
        in_bits, in_signed: of an input.
        radix: numbers that an adder takes: 3 on xc7, else 2.
    """
    return _Builder(weights, in_bits, in_signed, radix).build(share_sums(weights, in_bits, radix))


class _Signal(NamedTuple):
    """Bits, their value's bound, what it has above the sum, and the cycle they are there."""

    bits: list[Bit]
    most: int
    constant: int
    cycle: int

    def negated(self) -> _Signal:
        """All bits inverted."""
        full = (1 << len(self.bits)) - 1
        bits = [bit._replace(inverted=not bit.inverted) if bit.net else bit for bit in self.bits]
        return _Signal(bits, full, full - self.constant, self.cycle)


_Term = tuple[_Signal, int, int]  # shift and sign


class _Builder:
    def __init__(self, weights: IntArray, in_bits: int, in_signed: bool, radix: int) -> None:
        self.made = Hardwired(weights, in_bits, in_signed, radix)
        self.born = {NUMBERS: 0}  # cycle of a register
        self.tables: dict[int, Tables] = {}
        self.full_adders: dict[tuple[Bit, Bit, Bit], FullAdder] = {}

    def build(self, shared: Shared) -> Hardwired:
        made, signals = self.made, list[_Signal]()
        for signal in shared.signals:
            if isinstance(signal, Part):
                signals.append(self.part(signal))
            else:
                a, b = signals[signal.a], signals[signal.b]
                cycle = max(a.cycle, b.cycle) + 1
                found, shift, _ = self.add([(a, signal.a_shift, 1), (b, signal.b_shift, signal.sign)], cycle)
                signals.append(found._replace(bits=[Bit()] * shift + found.bits))
        totals = [self.sum_up([(signals[signal], shift, sign) for signal, shift, sign in row]) for row in shared.rows]
        made.latency = max(_LEAST_LATENCY, *(total.cycle for total in totals))
        made.totals = [[self.at(bit, made.latency) for bit in total.bits] for total in totals]
        half = 1 << (made.in_bits - 1) if made.in_signed else 0
        made.offsets = np.array([total.constant for total in totals], np.int64) + half * made.weights.sum(axis=1)
        made.most = max(total.most for total in totals)
        return made

    def at(self, bit: Bit, cycle: int) -> Bit:
        """A bit in a given cycle."""
        if not bit.net:
            return bit
        delay = cycle - self.born[bit.net]
        used = self.made.delays.setdefault(bit.net, {})
        used[bit.place] = max(used.get(bit.place, 0), delay)
        return bit._replace(delay=delay)

    def part(self, part: Part) -> _Signal:
        """An input as it is, or functions of a group."""
        made = self.made
        flip = 1 << (made.in_bits - 1) if made.in_signed else 0
        nonzero = [place for place, weight in enumerate(part.weights) if weight]
        if len(nonzero) == 1 and part.weights[nonzero[0]] == 1:
            low = (part.first + nonzero[0]) * made.in_bits
            bits = [Bit(NUMBERS, low + place, 0, bool(flip >> place & 1)) for place in range(made.in_bits)]
            return _Signal(bits, (1 << made.in_bits) - 1, 0, 0)
        width = len(part.weights) * made.in_bits
        assert width <= MOST_TABLE_BITS
        index, values = np.arange(1 << width), np.zeros(1 << width, np.int64)
        for place, weight in enumerate(part.weights):
            values += weight * (((index >> place * made.in_bits) & ((1 << made.in_bits) - 1)) ^ flip)
        lowest = int(values.min())
        values -= lowest
        most = int(values.max())
        return _Signal(
            [self.function(part.first, width, values >> place & 1) for place in range(most.bit_length())],
            most,
            -lowest,
            1,
        )

    def function(self, first: int, width: int, values: IntArray) -> Bit:
        """A bit that is a function of a group."""
        if first not in self.tables:
            self.tables[first] = Tables(f"t{first}", first * self.made.in_bits, width)
            self.made.nodes.append(self.tables[first])
            self.born[f"t{first}"] = 1
        inverted = bool(values[0])
        column = sum(1 << int(index) for index in np.flatnonzero(values ^ inverted))
        columns = self.tables[first].columns
        if column not in columns:
            columns.append(column)
        return Bit(f"t{first}", columns.index(column), 0, inverted)

    def sum_up(self, terms: Sequence[_Term]) -> _Signal:
        """One output: adders level by level, the shortest numbers first."""
        left, radix, cycle = list(terms), self.made.radix, 0
        while len(left) > 1:
            cycle += 1
            late = [term for term in left if term[0].cycle >= cycle]
            ready = sorted(
                (term for term in left if term[0].cycle < cycle), key=lambda term: term[1] + len(term[0].bits)
            )
            taken = len(ready) if len(left) <= radix and not late else len(ready) - len(ready) % radix
            left = (
                late
                + ready[taken:]
                + [self.add(ready[at : min(at + radix, taken)], cycle) for at in range(0, taken, radix)]
            )
        if not left:
            return _Signal([], 0, 0, 0)
        ((signal, shift, sign),) = left
        signal = signal if sign > 0 else signal.negated()
        return _Signal([Bit()] * shift + signal.bits, signal.most << shift, signal.constant << shift, signal.cycle)

    def add(self, terms: Sequence[_Term], cycle: int) -> _Term:
        """An adder whose result is there in a given cycle."""
        sign = -1 if all(term[2] < 0 for term in terms) else 1
        base = min(shift for _, shift, _ in terms)
        most = constant = 0
        rows: list[list[Bit]] = []
        for signal, shift, own in terms:
            number = signal if own == sign else signal.negated()
            most, constant = most + (number.most << shift - base), constant + (number.constant << shift - base)
            rows.append([Bit()] * (shift - base) + [self.at(bit, cycle - 1) for bit in number.bits])
        width, bits, carry = most.bit_length(), list[Bit](), Bit()

        def column(place: int) -> list[Bit]:
            return [row[place] for row in rows if place < len(row) and row[place].net]

        while len(bits) < width and len(column(len(bits))) < 2:
            bits += column(len(bits)) or [Bit()]
        if self.made.radix == 3 and len(bits) < width:
            total, carry = self.full_adder(column(len(bits)), cycle)
            bits.append(total)
        above = [row[len(bits) :] for row in rows if any(bit.net for bit in row[len(bits) :])]
        room = width - len(bits)
        if above and room:
            length = max(len(row) for row in above)
            if len(above) == 3 and sum(len(row) == length for row in above) > 1:
                length += 1
            length = min(length, room)
            numbers = [row + [Bit()] * (length - len(row)) for row in (above if len(above) > 1 else [*above, []])]
            net = f"s{len(self.made.nodes)}"
            self.made.nodes.append(Adder(net, numbers, carry))
            self.born[net] = cycle
            bits += [Bit(net, place) for place in range(min(length + 1, room))]
        elif room:
            bits.append(carry)
        return _Signal(bits, most, constant, cycle), base, sign

    def full_adder(self, column: list[Bit], cycle: int) -> tuple[Bit, Bit]:
        """Sum and carry of two or three bits; full adders of the same bits or their inverses are one."""
        several = sorted(column) + [Bit()] * (3 - len(column))
        a, b, c = (bit._replace(inverted=False) for bit in several)
        inverted = (several[0].inverted, several[1].inverted, several[2].inverted)
        if (a, b, c) not in self.full_adders:
            net = f"f{len(self.made.nodes)}"
            self.full_adders[a, b, c] = FullAdder(net, (a, b, c))
            self.made.nodes.append(self.full_adders[a, b, c])
            self.born[net] = cycle
        node = self.full_adders[a, b, c]
        if inverted not in node.carries:
            node.carries.append(inverted)
        return Bit(node.net, 0, 0, sum(inverted) % 2 == 1), Bit(node.net, 1 + node.carries.index(inverted))
