# SPDX-License-Identifier: Apache-2.0
"""Search for folds: the least circuit of which no element is busier than a pace allows.

The walk goes through the program layer by layer, as the lowering does. What is chosen for a layer matters to later ones only
through the lanes of the tensors that are still to be read, so for every combination of those the best choices so far are kept:
all that are least in lookup tables for some number of block RAMs and multipliers.

With weights in memories that is exact, and tests compare it with brute force, as long as no matrix layer has more than
`_FEW_FOLDS` folds and no other one more than `_FEW_LANES` choices of lanes, no more than `MOST_STATES` combinations are open and
none of them has more than `_MOST_FOUND` choices. Beyond that it is a heuristic. Of a larger layer, folds of more than twice the
multipliers that the pace takes, or lanes wider than what comes, are not tried; the combinations of fewest lookup tables go on,
and an even selection of the choices. Always so: registers are checked, but not weighed; a layer is hard-wired only where the
pace asks for most of its products at once; and queues behind forks are as small as they can be (`plan.py` counts the rest).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property

from bitlens.fpga.cost import Cost, total_cost
from bitlens.fpga.devices import Device
from bitlens.fpga.estimate import element_cost
from bitlens.fpga.folding import Fold
from bitlens.fpga.lower.circuit import Circuit
from bitlens.fpga.lower.conv import dense_shape, is_dense
from bitlens.fpga.lower.program import lower_node
from bitlens.fpga.lower.windows import has_windows
from bitlens.fpga.network import Element, Stream
from bitlens.fpga.products import Products
from bitlens.fpga.wiring import only_input
from bitlens.graph.file import Program
from bitlens.graph.graph import Node

__all__ = ["MOST_STATES", "Found", "Search"]

MOST_STATES = 80  # combinations of lanes kept after a layer
_MOST_FOUND = 12  # choices kept of a combination
_FEW_FOLDS = 30  # of a matrix layer that are all tried
_FEW_LANES = 5  # choices of lanes of another layer that are all tried
_SHALLOW = 64  # words of a ROM that takes one lookup table a bit
_MOST_CONSTANTS = 1 << 15  # weights of a hard-wired layer
_HARD_PACE = 1.5  # cycles of an image in those of a hard-wired layer, above which too much of it would idle

_Streams = tuple[tuple[str, Stream], ...]  # of tensors still to be read, without wires


@dataclass(frozen=True)
class Found:
    """Choices for all layers so far.

    Args:
        cost: of their elements.
        folds: of the last layer and, in `before`, of those in front of it.
    """

    cost: Cost
    fold: tuple[str, Fold] | None = None
    before: Found | None = None

    @property
    def folding(self) -> dict[str, Fold]:
        """By layer."""
        folds = {} if self.before is None else self.before.folding
        return folds if self.fold is None else folds | {self.fold[0]: self.fold[1]}


@dataclass(frozen=True)
class _Part:
    """Elements of one layer for given streams and one fold."""

    cost: Cost
    cycles: int
    output: str
    result: Stream
    taken: frozenset[str]


class Search:
    """The search in one program for one device; what it has lowered it remembers.

    Args:
        program: of one input, with fixed sizes.
        device: counted in whose cells.
        target: family of the bodies, as `lower_program` takes it.
        kernels: where weights may lie.
    """

    def __init__(self, program: Program, device: Device, target: str, kernels: tuple[str, ...] = ("fold",)) -> None:
        self.program, self.graph = program, program.graph
        self.device, self.target, self.kernels = device, target, kernels
        self.nodes = list(program.graph)
        self._products: dict[tuple[str, int, bool, str], tuple[Products, tuple[int, int]]] = {}
        self._all_folds: dict[str, list[Fold | None]] = {}
        self._readers: dict[tuple[str, frozenset[str]], set[str]] = {}
        self._parts: dict[tuple[str, Fold | None, tuple[Stream, ...]], _Part] = {}

    def fastest(self, most: Cost) -> tuple[int, Found | None]:
        """The shortest pace at which a circuit fits, and the least circuit of it.

        Args:
            most: cells that there are.
        """
        best, low, high = None, 0, len(self.paces)  # what fits at one pace fits at any longer one
        while low < high:
            middle = (low + high) // 2
            found = self.least(self.paces[middle], most)
            if found is None:
                low = middle + 1
            else:
                best, high = found, middle
        return self.paces[min(low, len(self.paces) - 1)], best

    @cached_property
    def paces(self) -> list[int]:
        """All numbers of cycles an image that some fold makes an element busy for, rising."""
        found, entry = set(), only_input(self.graph)
        for node in self.graph:
            height, width, channels = _shape(self.graph.value(node.output).shape)
            found |= {height * width * channels // lanes for lanes in _divisors(channels)}
            if "kernel" in node.attrs or node.op == "conv":
                taps = node.attrs["kernel"][0] * node.attrs["kernel"][1]
                depth = _shape(self.graph.value(node.inputs[0]).shape)[2]
                found |= {height * width * taps * depth // lanes for lanes in _divisors(depth)}
            for fold in self._folds(node):
                if fold is not None and is_dense(node):
                    found.add(_busy(node, fold, height * width))
            if is_dense(node):  # columns of a hard-wired layer
                wide, stride, dilation = (node.attrs[name][1] for name in ("kernel", "stride", "dilation"))
                found.add(height * ((width - 1) * stride + (wide - 1) * dilation + 1))
        height, width, _ = _shape(self.graph.value(entry).shape)
        return sorted({*found, height * width})

    def blocked(self, pace: int) -> str:
        """The first matrix layer that none of the kernels can hold at a pace; "kernels" where each has one."""
        layers = (node for node in self.graph if is_dense(node))
        return next((node.name for node in layers if not (self._folds(node) or self._hard(node, pace))), "kernels")

    def least(self, pace: int, most: Cost | None = None) -> Found | None:
        """The circuit of fewest lookup tables whose elements are all busy for at most `pace` cycles an image.

        Args:
            pace: cycles.
            most: cells that there are.

        Returns:
            None where there is no such circuit.
        """
        entry = Circuit(self.graph, {}, self.target)
        stream = replace(entry.enter(), wire="")
        if max((element.cycles for element in entry.elements), default=stream.beats) > pace:
            return None
        (name,) = self.graph.inputs
        states: dict[_Streams, list[Found]] = {((name, stream),): [Found(self._cost(entry.elements))]}
        skipped: set[str] = set()
        for node in self.graph:
            if node.output in skipped:
                continue
            states, taken = self._advance(node, states, pace, most)
            skipped |= taken
        ends = [found for several in states.values() for found in several]
        return min(ends, key=lambda found: (found.cost.lut, found.cost.bram), default=None)

    def _advance(
        self, node: Node, states: dict[_Streams, list[Found]], pace: int, most: Cost | None
    ) -> tuple[dict[_Streams, list[Found]], set[str]]:
        then: dict[_Streams, list[Found]] = {}
        taken: set[str] = set()
        for streams, several in states.items():
            inputs = tuple(dict(streams)[tensor] for tensor in node.inputs)
            for fold in self._fast(node, inputs, pace):
                part = self._part(node, fold, inputs)
                if part.cycles > pace:
                    continue
                taken |= part.taken
                key = self._still_read(node, streams, part)
                choice = None if fold is None else (node.name, fold)
                ends = then.setdefault(key, [])
                for found in several:
                    cost = found.cost + part.cost
                    if most is None or cost.fits(most):
                        ends.append(Found(cost, choice, found))
        kept = {key: _undominated(several) for key, several in then.items() if several}
        best = sorted(kept, key=lambda key: kept[key][0].cost.lut)[:MOST_STATES]
        return {key: kept[key] for key in best}, taken

    def _still_read(self, node: Node, streams: _Streams, part: _Part) -> _Streams:
        later = self._later(node, part)
        alive = {tensor: stream for tensor, stream in streams if tensor in later}
        if part.output in later:
            alive[part.output] = part.result
        return tuple(sorted(alive.items(), key=lambda item: item[0]))

    def _later(self, node: Node, part: _Part) -> set[str]:
        key = (node.name, part.taken)
        if key not in self._readers:
            after = self.nodes[self.nodes.index(node) + 1 :]
            self._readers[key] = {name for other in after if other.output not in part.taken for name in other.inputs}
        return self._readers[key]

    def _folds(self, node: Node) -> list[Fold | None]:
        if node.name not in self._all_folds:
            self._all_folds[node.name] = self._find_folds(node)
        return self._all_folds[node.name]

    def _find_folds(self, node: Node) -> list[Fold | None]:
        """All folds of a layer; None leaves it on the lanes that come."""
        if not is_dense(node):
            source = self.graph.value(node.inputs[0]) if node.inputs else None
            if source is None or node.op in ("flatten", "concat", "crop"):
                return [None]
            return [None, *(Fold(lanes) for lanes in _divisors(_shape(source.shape)[2]))]
        outputs, high, wide, depth = dense_shape(node)
        inputs = set(_divisors(depth))
        if has_windows(node, *_shape(self.graph.value(node.inputs[0]).shape)[:2]):
            inputs |= {high * lanes for lanes in _divisors(depth)}
        every = [(pe, simd) for pe in _divisors(outputs) for simd in sorted(inputs)]
        folds: list[Fold | None] = []
        if "fold" in self.kernels:
            folds += [Fold(pe, simd) for pe, simd in every]
        if "lutrom" in self.kernels:
            words = {(pe, simd): outputs // pe * (high * wide * depth // simd) for pe, simd in every}
            folds += [Fold(pe, simd, "lutrom") for pe, simd in every if words[pe, simd] <= _SHALLOW]
        return folds

    def _hard(self, node: Node, pace: int) -> list[Fold]:
        """The hard-wired form, where the pace asks for most of a layer's products at once, or for more than any fold gives."""
        outputs, high, wide, depth = dense_shape(node)
        height, width, _ = _shape(self.graph.value(node.inputs[0]).shape)
        rows, columns, _ = _shape(self.graph.value(node.output).shape)
        if "hard" not in self.kernels or node.attrs["weights"].size > _MOST_CONSTANTS:
            return []
        if not has_windows(node, height, width) and high * wide > 1:
            return []
        stride, dilation = node.attrs["stride"][1], node.attrs["dilation"][1]
        busy = max(height * width, rows * ((columns - 1) * stride + (wide - 1) * dilation + 1))
        folds = [_busy(node, fold, rows * columns) for fold in self._folds(node) if fold is not None]
        folded = min(folds, default=pace + 1)
        asked = busy <= pace and (pace <= _HARD_PACE * busy or pace < folded)
        return [Fold(outputs, high * wide * depth, "hard")] if asked else []

    def _fast(self, node: Node, inputs: tuple[Stream, ...], pace: int) -> Iterator[Fold | None]:
        """Folds that keep the pace: all of a small layer, those of at most twice the multipliers it takes of a large one."""
        folds = self._folds(node)
        if not is_dense(node):
            widest = max((stream.lanes for stream in inputs), default=1)
            narrow = [fold for fold in folds if fold is not None and self._part(node, fold, inputs).cycles <= pace]
            yield None
            yield from (fold for fold in narrow if fold.pe <= widest or fold is narrow[0] or len(folds) <= _FEW_LANES)
            return
        height, width, _ = _shape(self.graph.value(node.output).shape)
        fast = [fold for fold in folds if fold is not None and _busy(node, fold, height * width) <= pace]
        if len(folds) > _FEW_FOLDS:
            most = 2 * min((fold.pe * fold.simd for fold in fast), default=0)
            fast = [fold for fold in fast if fold.pe * fold.simd <= most]
        yield from fast
        yield from self._hard(node, pace)

    def _part(self, node: Node, fold: Fold | None, inputs: tuple[Stream, ...]) -> _Part:
        key = (node.name, fold, inputs)
        if key not in self._parts:
            circuit = Circuit(self.graph, {} if fold is None else {node.name: fold}, self.target, self._products)
            for tensor, stream in zip(node.inputs, inputs, strict=True):
                circuit.streams.setdefault(tensor, []).append(replace(stream, wire=circuit.fresh("in")))
            lower_node(circuit, node)
            (output,) = (tensor for tensor in circuit.streams if tensor not in node.inputs)
            streams = circuit.streams[output]
            result = replace(streams[0], wire="") if streams else Stream("", (1, 1, 1), 1, False, 1)
            cycles = max((element.cycles for element in circuit.elements), default=0)
            self._parts[key] = _Part(self._cost(circuit.elements), cycles, output, result, frozenset(circuit.taken))
        return self._parts[key]

    def _cost(self, elements: list[Element]) -> Cost:
        return total_cost(element_cost(element, self.device) for element in elements)


def _undominated(several: list[Found]) -> list[Found]:
    """Those that no other beats in lookup tables, block RAMs and multipliers, the fewest lookup tables first."""
    kept: list[Found] = []
    for found in sorted(several, key=lambda found: (found.cost.lut, found.cost.bram, found.cost.dsp)):
        if not any(other.cost.bram <= found.cost.bram and other.cost.dsp <= found.cost.dsp for other in kept):
            kept.append(found)
    if len(kept) > _MOST_FOUND:
        kept = [kept[place * (len(kept) - 1) // (_MOST_FOUND - 1)] for place in range(_MOST_FOUND)]
    return kept


def _busy(node: Node, fold: Fold, pixels: int) -> int:
    outputs, high, wide, depth = dense_shape(node)
    return int(pixels * high * wide * depth * outputs // (fold.pe * fold.simd))


@cache
def _divisors(number: int) -> list[int]:
    return [d for d in range(1, number + 1) if number % d == 0]


def _shape(shape: tuple[int | None, ...] | None) -> tuple[int, int, int]:
    height, width, channels = shape or (None, None, None)
    return height or 1, width or 1, channels or 1
