# SPDX-License-Identifier: Apache-2.0
"""From an integer program to a streaming circuit: every op becomes elements of `rtl/`.

Each layer runs at its own folding: PE output channels and SIMD input channels a cycle. `wiring.py` brings the streams there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import gcd
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.core.grid import Grid
from bitlens.core.steps import NEVER
from bitlens.fpga.network import Element, FpgaError, Memory, Network, Stream, integer_bits, pack_words
from bitlens.fpga.wiring import Wiring, fixed_size
from bitlens.graph.file import Program
from bitlens.graph.graph import Graph, Node

__all__ = ["Fold", "default_folding", "lower_program"]

IntArray = npt.NDArray[np.int64]

_MOST_LEVELS = 255


@dataclass(frozen=True)
class Fold:
    """How a layer is spread over time.

    Args:
        pe: output channels computed at once; divides the output channels.
        simd: input channels taken at once; divides the input channels of a tap.
    """

    pe: int
    simd: int


def default_folding(program: Program, pe: int = 1, simd: int = 1) -> dict[str, Fold]:
    """Every layer at the largest folds that divide its channels and do not exceed these."""
    folds = {}
    for node in program.graph:
        if node.op == "conv":
            outputs, _, _, depth = node.attrs["weights"].shape
            folds[node.name] = Fold(_divisor(outputs, pe), _divisor(depth, simd))
    return folds


def _divisor(number: int, most: int) -> int:
    return max(d for d in range(1, min(number, most) + 1) if number % d == 0)


def lower_program(program: Program, folding: Mapping[str, Fold]) -> Network:
    """Build the circuit of a program.

    Args:
        program: of one input, with fixed sizes.
        folding: by the name of every conv.

    Raises:
        FpgaError: an op has no element here, or a size is open.
    """
    return _Lowering(program.graph, folding).network()


class _Lowering(Wiring):
    def __init__(self, graph: Graph, folding: Mapping[str, Fold]) -> None:
        super().__init__(graph)
        self.folding = folding
        self.taken: set[str] = set()  # results of ops that end an earlier element

    def network(self) -> Network:
        entry = self.enter()
        for node in self.graph:
            if node.output not in self.taken:
                _RULES.get(node.op, _refuse)(self, node)
        return Network("top", self.elements, self.wires, entry, self.leave())

    def fused_steps(self, node: Node) -> Node | None:
        """The step table that alone reads a node's result."""
        readers = self.graph.consumers(node.output)
        alone = len(readers) == 1 and node.output not in self.graph.outputs
        if alone and readers[0].op == "steps" and readers[0].attrs["breakpoints"].shape[1] <= _MOST_LEVELS:
            return readers[0]
        return None


def _refuse(lowering: _Lowering, node: Node) -> None:
    raise FpgaError(f"{node.name}: op must have an element in rtl/, not be {node.op}")


def _windows(lowering: _Lowering, node: Node, stream: Stream, fill: int) -> Stream:
    """Windows of an image; none where each is one pixel, or the whole image."""
    attrs = node.attrs
    (kh, kw), (sh, sw), (dh, dw) = attrs["kernel"], attrs["stride"], attrs["dilation"]
    top, left, _, _ = attrs["pads"]
    height, width, channels = stream.shape
    out = fixed_size(node.name, lowering.graph.value(node.output).shape)
    if not any(attrs["pads"]) and ((kh, kw, sh, sw) == (1, 1, 1, 1) or (kh, kw, dh, dw) == (height, width, 1, 1)):
        return stream
    mask = (1 << stream.bits) - 1
    parameters = {
        "HEIGHT": height,
        "WIDTH": width,
        "FOLDS": stream.folds,
        "BEAT": stream.width,
        "KERNEL_H": kh,
        "KERNEL_W": kw,
        "STRIDE_H": sh,
        "STRIDE_W": sw,
        "DILATION_H": dh,
        "DILATION_W": dw,
        "PAD_TOP": top,
        "PAD_LEFT": left,
        "OUT_HEIGHT": out[0],
        "OUT_WIDTH": out[1],
        "ROWS": dh * (kh - 1) + 1 + sh,
        "FILL": sum((fill & mask) << (lane * stream.bits) for lane in range(stream.lanes)),
    }
    taps = kh * kw
    return lowering.add(
        "window", node.name, parameters, stream, layer=node.name, shape=(out[0], out[1], taps * channels)
    )


def _conv(lowering: _Lowering, node: Node) -> None:
    graph, attrs = lowering.graph, node.attrs
    weights = attrs["weights"]  # (O, kh, kw, C)
    outputs, kh, kw, depth = weights.shape
    if attrs["groups"] != 1 and attrs["groups"] == outputs and depth == 1:
        return _depthwise(lowering, node)
    if attrs["groups"] != 1:
        raise FpgaError(f"{node.name}: groups must be 1 for a circuit, not {attrs['groups']}")
    fold = lowering.folding.get(node.name)
    if fold is None or outputs % fold.pe or depth % fold.simd:
        raise FpgaError(f"{node.name}: folds must divide {outputs} outputs and {depth} inputs of a tap, not be {fold}")
    stream = _windows(lowering, node, lowering.read(node.inputs[0], fold.simd), 0)
    value = graph.value(node.output)
    assert value.grid is not None
    bias = np.zeros(outputs, np.int64) if attrs["bias"] is None else np.asarray(attrs["bias"])
    lo, hi = value.grid.lo - int(bias.max()), value.grid.hi - int(bias.min()) + 1  # of sums without bias, and "never"
    sum_bits = integer_bits(Grid.span(min(lo, -1), max(hi, 0)))[0]
    weight_bits = integer_bits(Grid.span(min(int(weights.min()), -1), max(int(weights.max()), 0)))[0]
    in_folds, out_folds = kh * kw * depth // fold.simd, outputs // fold.pe
    shape = fixed_size(node.name, value.shape)
    parameters = {
        "IN_FOLDS": in_folds,
        "OUT_FOLDS": out_folds,
        "SIMD": fold.simd,
        "PE": fold.pe,
        "IN_BITS": stream.bits,
        "IN_SIGNED": int(stream.signed),
        "WEIGHT_BITS": weight_bits,
        "ACC_BITS": sum_bits,
    }
    rows = weights.reshape(out_folds, fold.pe, in_folds, fold.simd).transpose(
        0, 2, 1, 3
    )  # word: PE lanes of SIMD weights
    words = pack_words(rows.reshape(out_folds * in_folds, -1), weight_bits)
    memories = {"WEIGHTS": Memory(words, fold.pe * fold.simd * weight_bits)}
    steps = lowering.fused_steps(node)
    cycles = shape[0] * shape[1] * in_folds * out_folds
    common: dict[str, Any] = {"layer": node.name, "cycles": cycles, "shape": shape, "lanes": fold.pe}
    if steps is None:
        parameters |= {"LEVELS": 0, "OUT_BITS": sum_bits}
        sums = lowering.add(
            "mvtu", node.name, parameters, stream, memories=memories, bits=sum_bits, signed=True, **common
        )
        lowering.done(node.output, _biased(lowering, node, sums, bias) if bias.any() else sums)
        return
    grid = graph.value(steps.output).grid
    assert grid is not None
    bits, signed = integer_bits(grid)
    levels, table = _table(steps, outputs, fold.pe, sum_bits, bits, bias)
    parameters |= {"LEVELS": levels, "OUT_BITS": bits}
    memories["TABLE"] = table
    lowering.taken.add(steps.output)
    lowering.done(
        steps.output,
        lowering.add("mvtu", node.name, parameters, stream, memories=memories, bits=bits, signed=signed, **common),
    )


def _depthwise(lowering: _Lowering, node: Node) -> None:
    graph, weights = lowering.graph, node.attrs["weights"]  # (C, kh, kw, 1)
    channels, kh, kw, _ = weights.shape
    source, value = lowering.read(node.inputs[0]), graph.value(node.output)
    if source.shape[2] != channels:
        raise FpgaError(f"{node.name}: every channel must have one filter, not {channels // source.shape[2]}")
    assert value.grid is not None
    bias = np.zeros(channels, np.int64) if node.attrs["bias"] is None else np.asarray(node.attrs["bias"])
    lanes, folds = source.lanes, source.folds
    stream = _windows(lowering, node, source, 0)
    lo, hi = value.grid.lo - int(bias.max()), value.grid.hi - int(bias.min())
    bits = integer_bits(Grid.span(min(lo, -1), max(hi, 0)))[0]
    weight_bits = integer_bits(Grid.span(min(int(weights.min()), -1), max(int(weights.max()), 0)))[0]
    rows = weights.reshape(channels, kh * kw).T.reshape(kh * kw * folds, lanes)  # word of (tap, fold)
    parameters = {
        "LANES": lanes,
        "FOLDS": folds,
        "TAPS": kh * kw,
        "IN_BITS": source.bits,
        "IN_SIGNED": int(source.signed),
        "WEIGHT_BITS": weight_bits,
        "OUT_BITS": bits,
    }
    memories = {"WEIGHTS": Memory(pack_words(rows, weight_bits), lanes * weight_bits)}
    shape = fixed_size(node.name, value.shape)
    sums = lowering.add(
        "depthwise",
        node.name,
        parameters,
        stream,
        layer=node.name,
        memories=memories,
        bits=bits,
        signed=True,
        shape=shape,
    )
    lowering.done(node.output, _biased(lowering, node, sums, bias) if bias.any() else sums)


def _biased(lowering: _Lowering, node: Node, sums: Stream, bias: IntArray) -> Stream:
    """Sums with their bias, by a rescale whose multiplier is 1."""
    grid = lowering.graph.value(node.output).grid
    assert grid is not None
    ones, zeros = np.ones(len(bias), np.int64), np.zeros(len(bias), np.int64)
    return _add_rescale(lowering, node, sums, ones, bias.astype(np.int64), zeros, grid.lo, grid.hi)


def _table(
    steps: Node,
    channels: int,
    lanes: int,
    in_bits: int,
    out_bits: int,
    bias: IntArray | None = None,
) -> tuple[int, Memory]:
    """Number of breakpoints, and the memory of a step table: one word a fold, or one for all channels alike."""
    breakpoints, values = steps.attrs["breakpoints"], steps.attrs["values"]
    rows = channels if bias is not None else len(breakpoints)
    rows = max(rows, lanes)
    breakpoints, values = (np.broadcast_to(a, (rows, a.shape[1])) for a in (breakpoints, values))
    lowest, largest = -(1 << (in_bits - 1)), (1 << (in_bits - 1)) - 1
    moved = breakpoints if bias is None else breakpoints - bias[:, None]
    moved = np.where(breakpoints == NEVER, largest, np.clip(moved, lowest, largest))
    words = []
    for first in range(0, rows, lanes):
        word, place = 0, 0
        for lane in range(first, first + lanes):
            for numbers, bits in ((moved[lane], in_bits), (values[lane], out_bits)):
                for number in numbers:
                    word |= (int(number) & ((1 << bits) - 1)) << place
                    place += bits
        words.append(word)
    levels = breakpoints.shape[1]
    return levels, Memory(words, lanes * (levels * in_bits + (levels + 1) * out_bits))


def _steps(lowering: _Lowering, node: Node) -> None:
    stream, grid = lowering.read(node.inputs[0]), lowering.graph.value(node.output).grid
    assert grid is not None
    bits, signed = integer_bits(grid)
    if not stream.signed:  # one bit more makes it two's complement
        stream = lowering.extended(stream, stream.bits + 1, True)
    levels, table = _table(node, stream.shape[2], stream.lanes, stream.bits, bits)
    if levels > _MOST_LEVELS:
        raise FpgaError(f"{node.name}: step tables must have at most {_MOST_LEVELS} breakpoints, not {levels}")
    parameters = {
        "LANES": stream.lanes,
        "FOLDS": stream.folds,
        "ROWS": len(table.words),
        "IN_BITS": stream.bits,
        "LEVELS": levels,
        "OUT_BITS": bits,
    }
    lowering.done(
        node.output,
        lowering.add(
            "steps", node.name, parameters, stream, layer=node.name, memories={"TABLE": table}, bits=bits, signed=signed
        ),
    )


def _rescale(lowering: _Lowering, node: Node) -> None:
    attrs, stream = node.attrs, lowering.read(node.inputs[0])
    rows = attrs["multiplier"], attrs["addend"], attrs["shift"]
    lowering.done(node.output, _add_rescale(lowering, node, stream, *rows, attrs["lo"], attrs["hi"]))


def _add_rescale(
    lowering: _Lowering, node: Node, stream: Stream, multiplier: Any, addend: Any, shift: Any, lo: int, hi: int
) -> Stream:
    rows = max(len(multiplier), stream.lanes)
    columns = [np.broadcast_to(np.asarray(a, np.int64), (rows,)) for a in (multiplier, addend, shift)]
    widths = [max(int(abs(int(x))).bit_length() for x in column) + 1 for column in columns[:2]]
    lane = sum(widths) + 6
    words = []
    for first in range(0, rows, stream.lanes):
        word = 0
        for place in range(stream.lanes):
            at = place * lane
            for column, width in zip(columns, (*widths, 6), strict=True):
                word |= (int(column[first + place]) & ((1 << width) - 1)) << at
                at += width
        words.append(word)
    bits, signed = integer_bits(Grid.span(lo, hi))
    parameters = {
        "LANES": stream.lanes,
        "FOLDS": stream.folds,
        "ROWS": len(words),
        "IN_BITS": stream.bits,
        "IN_SIGNED": int(stream.signed),
        "MULTIPLIER_BITS": widths[0],
        "ADDEND_BITS": widths[1],
        "OUT_BITS": bits,
        "LO": lo,
        "HI": hi,
    }
    memories = {"TABLE": Memory(words, stream.lanes * lane)}
    return lowering.add(
        "rescale", node.name, parameters, stream, layer=node.name, memories=memories, bits=bits, signed=signed
    )


def _pool(lowering: _Lowering, node: Node) -> None:
    graph = lowering.graph
    source, result = lowering.read(node.inputs[0]), graph.value(node.output)
    grid = graph.value(node.inputs[0]).grid
    assert grid is not None
    assert result.grid is not None
    total = node.op == "sum_pool"
    stream = _windows(lowering, node, source, 0 if total else grid.lo)
    bits, signed = integer_bits(result.grid) if total else (source.bits, source.signed)
    kh, kw = node.attrs["kernel"]
    parameters = {
        "LANES": source.lanes,
        "FOLDS": source.folds,
        "TAPS": kh * kw,
        "IN_BITS": source.bits,
        "IN_SIGNED": int(source.signed),
        "OUT_BITS": bits,
        "SUM": int(total),
    }
    shape = fixed_size(node.name, result.shape)
    lowering.done(
        node.output,
        lowering.add("pool", node.name, parameters, stream, layer=node.name, bits=bits, signed=signed, shape=shape),
    )


def _add(lowering: _Lowering, node: Node) -> None:
    grid = lowering.graph.value(node.output).grid
    assert grid is not None
    a = lowering.read(node.inputs[0])
    b = lowering.read(node.inputs[1], a.lanes)
    bits, _ = integer_bits(Grid.span(min(grid.lo, -1), max(grid.hi, 0)))  # signed, so that step tables can read it
    wire = lowering.fresh(f"{node.name}_add")
    lowering.wires[wire] = a.lanes * bits
    parameters = {
        "LANES": a.lanes,
        "A_BITS": a.bits,
        "A_SIGNED": int(a.signed),
        "B_BITS": b.bits,
        "B_SIGNED": int(b.signed),
        "OUT_BITS": bits,
    }
    element = Element(
        wire, "add", parameters, {"a": a.wire, "b": b.wire}, {"out": wire}, layer=node.name, cycles=a.beats
    )
    lowering.elements.append(element)
    lowering.done(node.output, replace(a, wire=wire, bits=bits, signed=True))


def _upsample(lowering: _Lowering, node: Node) -> None:
    attrs = node.attrs
    _enlarge(lowering, node, attrs["factor"], int(attrs["repeat"]), attrs["pads"][:2])


def _crop(lowering: _Lowering, node: Node) -> None:
    lowering.drop(node.inputs[1])
    _enlarge(lowering, node, (1, 1), 1, (0, 0))


def _enlarge(lowering: _Lowering, node: Node, factor: tuple[int, int], repeat: int, pads: tuple[int, int]) -> None:
    stream, shape = lowering.read(node.inputs[0]), fixed_size(node.name, lowering.graph.value(node.output).shape)
    parameters = {
        "HEIGHT": stream.shape[0],
        "WIDTH": stream.shape[1],
        "FOLDS": stream.folds,
        "BEAT": stream.width,
        "FACTOR_H": factor[0],
        "FACTOR_W": factor[1],
        "REPEAT": repeat,
        "PAD_TOP": pads[0],
        "PAD_LEFT": pads[1],
        "OUT_HEIGHT": shape[0],
        "OUT_WIDTH": shape[1],
    }
    lowering.done(node.output, lowering.add("upsample", node.name, parameters, stream, layer=node.name, shape=shape))


def _concat(lowering: _Lowering, node: Node) -> None:
    grid = lowering.graph.value(node.output).grid
    assert grid is not None
    bits, signed = integer_bits(grid)
    streams = [lowering.extended(lowering.read(tensor), bits, signed) for tensor in node.inputs]
    lanes = gcd(*(stream.shape[2] for stream in streams))
    lanes = _divisor(lanes, max(stream.lanes for stream in streams))
    whole, *rest = (lowering.to_lanes(stream, lanes) for stream in streams)
    for other in rest:
        wire = lowering.fresh(f"{node.name}_concat2")
        shape = (*whole.shape[:2], whole.shape[2] + other.shape[2])
        result = replace(whole, wire=wire, shape=shape)
        lowering.wires[wire] = result.width
        parameters = {"WIDTH": result.width, "A_FOLDS": whole.folds, "B_FOLDS": other.folds}
        ports = {"a": whole.wire, "b": other.wire}
        lowering.elements.append(
            Element(wire, "concat2", parameters, ports, {"out": wire}, layer=node.name, cycles=result.beats)
        )
        whole = result
    lowering.done(node.output, whole)


def _flatten(lowering: _Lowering, node: Node) -> None:
    stream = lowering.read(node.inputs[0])
    lowering.done(node.output, replace(stream, shape=(1, 1, stream.shape[0] * stream.shape[1] * stream.shape[2])))


_RULES = {
    "conv": _conv,
    "steps": _steps,
    "rescale": _rescale,
    "max_pool": _pool,
    "sum_pool": _pool,
    "add": _add,
    "concat": _concat,
    "upsample": _upsample,
    "crop": _crop,
    "flatten": _flatten,
}
