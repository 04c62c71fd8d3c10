# SPDX-License-Identifier: Apache-2.0
"""Put a shared requantizer in front of joins whose operands have no common unit. This changes the model, by a stated bound.

Runs only where the user allows it (`--allow-requantize`). An operand x becomes rint(x / S) units of S, one S for the whole
join. What each operand loses is at most half a unit of S, and nothing where its own unit is a multiple of S; nothing is
clamped, since S is wide enough for all that an operand can reach. The metadata states each bound, and the compiler compares
its result with the model that has the same requantizers (`mirror_requantizers`), integer by integer.

C channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Context

import numpy as np
import numpy.typing as npt

from bitlens.core.grid import Grid
from bitlens.core.reference import Chain, Multiply, Quantize, evaluate, is_monotone
from bitlens.graph.graph import Graph, Node
from bitlens.graph.ops import only_moves
from bitlens.graph.rewrite import fresh_node, fresh_tensor
from bitlens.graph.spec import CompileError
from bitlens.passes.find_grids import UnalignedError, find_grids
from bitlens.passes.find_step_tables import reached_range
from bitlens.passes.sink_moves import is_scalar

__all__ = ["mirror_requantizers", "requantize_joins"]

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

_MOST_BITS = 16  # of a join that a table or a 1x1 product reads
_MOST_BREAKPOINTS = 1 << 20  # of an operand's table
_CONV_BITS = 8  # of one that a convolution reads
_MOST_LOOKED_AT = 1 << 16  # integers of an operand
_FINEST = _COARSEST = 64  # how many units are tried at either end
_NOTHING = 2.0**-22  # of the largest value: what float32 loses by itself
_ROUNDED = 2.0**-24  # relative, of one float32 operation
_WORDS = {"add": ("operands", "their sum"), "concat": ("operands", "each")}
_MARK = "requantizes"  # of a chain node: (layer, operand)


@dataclass(frozen=True)
class _Operand:
    """What a join reads: integers of each channel, lo..hi (C,), and the chain that makes real values of them."""

    chain: Chain
    lo: IntArray
    hi: IntArray

    @property
    def scale(self) -> npt.NDArray[np.float32]:
        """The real value of one integer, () or (C,)."""
        assert isinstance(self.chain[0], Multiply)
        return np.asarray(self.chain[0].values)

    @property
    def most_bits(self) -> int:
        """How many bits its requantizer may have, for a table of some megabytes if a row for each channel is needed."""
        rows = 1 if is_scalar(self.chain) else len(self.lo)
        return min(_MOST_BITS, max(_CONV_BITS, (_MOST_BREAKPOINTS // rows).bit_length() - 1))

    def reach(self) -> tuple[float, float]:
        """The smallest and largest real value."""
        found = evaluate(self.chain, np.stack([self.lo, self.hi])) if is_monotone(self.chain) else self.values()
        assert found is not None
        return float(found.min()), float(found.max())

    def values(self) -> FloatArray | None:
        """Every real value of the operand, None where they are too many to look at."""
        if (int(self.hi.max()) - int(self.lo.min()) + 1) * len(self.lo) > _MOST_LOOKED_AT:
            return None
        integers = np.arange(self.lo.min(), self.hi.max() + 1)[:, None]
        return np.unique(evaluate(self.chain, np.clip(integers, self.lo, self.hi))).astype(np.float64)


def requantize_joins(graph: Graph) -> None:
    """Insert the requantizers that `find_grids` asks for, and state their bounds in the metadata.

    Raises:
        CompileError: an operand is neither integers nor made of integers by something that rises or falls.
    """
    lines: list[str] = []
    done: set[str] = set()
    while True:
        trial = graph.copy()
        try:
            find_grids(trial)
        except UnalignedError as error:
            if error.node in done:
                raise
            done.add(error.node)
            lines.append(_share(graph, trial, next(node for node in trial if node.name == error.node)))
            continue
        if lines:
            graph.metadata["requantized"] = "\n".join(lines)
        return


def mirror_requantizers(graph: Graph, imported: Graph) -> None:
    """Put the requantizers of a graph into the imported graph that it was made of, as Quant operators.

    Raises:
        CompileError: a layer is a part of one of the imported graph.
    """
    for node in graph:
        if _MARK not in node.attrs:
            continue
        layer, place = node.attrs[_MARK]
        reader = next((other for other in imported if other.name == layer), None)
        if reader is None:
            raise CompileError(
                f"{layer}: what is requantized must be a layer of the file, not a part of one; put a quantizer before it"
            )
        result, source = node.output, node.inputs[0]
        place = reader.inputs.index(source) if source in reader.inputs else place  # operands may have changed sides
        numbers = {"scale": node.attrs["chain"][0].scale, "zero_point": 0, "bits": 1 + _MOST_BITS}
        names = []
        for what, number in numbers.items():
            names.append(fresh_tensor(imported, f"{result}.{what}"))
            imported.constants[names[-1]] = np.asarray(number, np.float32)
        attrs = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND"}
        quant = Node("Quant", fresh_node(imported, node.name), [reader.inputs[place], *names], [result], attrs)
        reader.inputs[place] = result
        imported.nodes.insert(imported.nodes.index(reader), quant)


def _share(graph: Graph, trial: Graph, node: Node) -> str:
    """Requantize all operands of a node; tell the bound."""
    reader = next(other for other in graph if other.name == node.name)
    tensors = reader.inputs if node.op in _WORDS else reader.inputs[:1]
    operands = [_trace(trial, node, tensor) for tensor in tensors]
    room = _room(trial, node.output) if node.op != "conv" else _CONV_BITS
    bits = min(room, *(operand.most_bits for operand in operands))
    unit = np.float32(_choose_unit(operands, bits, total=node.op == "add"))
    grids = [
        _insert(graph, reader, place, tensor, operand, unit)
        for place, (tensor, operand) in enumerate(zip(tensors, operands, strict=True))
    ]
    bits = Grid.span(min(grid.lo for grid in grids), max(grid.hi for grid in grids)).bits
    error = _error(operands, unit, total=node.op == "add")
    what, which = _WORDS.get(node.op, ("input", "it"))
    bound = f"at most {_up(error / float(unit))} units, {_up(error)}" if error else "nothing"
    return f"{node.name}: {what} requantized to {bits} bits of {float(unit):.9g}; {which} is off by {bound}"


def _up(number: float) -> str:
    """Three digits, never below the number."""
    return f"{float(Context(prec=3, rounding=ROUND_CEILING).create_decimal_from_float(number)):.3g}"


def _trace(graph: Graph, node: Node, tensor: str) -> _Operand:
    """Walk back from an operand to the integers it is made of."""
    chain: Chain = ()
    source = graph.value(tensor)
    while source.grid is None:
        producer = graph.producer(source.name)
        if producer is None or producer.op != "chain":
            raise CompileError(
                f"{node.name}: operands must be integers, or made of them one by one, not real values ({tensor}); "
                "put a quantizer before it"
            )
        chain = (*producer.attrs["chain"], *chain)
        source = graph.value(producer.inputs[0])
    lo, hi = reached_range(graph, source)
    operand = _Operand((Multiply(source.scale), *chain), lo, hi)
    if not is_monotone(operand.chain) and operand.values() is None:
        raise CompileError(
            f"{node.name}: what makes operand {tensor} must rise or fall, not turn back; put a quantizer before it"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.all(np.isfinite(operand.reach()))
    if not finite:
        raise CompileError(f"{node.name}: operands must be finite, not inf or nan; repair the scales of the model")
    return operand


def _room(graph: Graph, tensor: str) -> int:
    """How many bits the readers of a join take."""
    readers = graph.consumers(tensor)
    if any(node.op not in ("add", "chain", "sum_pool") and not only_moves(node) for node in readers):
        return _CONV_BITS
    return min((_room(graph, node.output) for node in readers if only_moves(node)), default=_MOST_BITS)


def _choose_unit(operands: list[_Operand], bits: int, *, total: bool) -> float:
    """The unit with the least error that lets the result fit `bits`; of equals the largest.

    Tried are the finest that fits, and whole fractions of the operands' largest own unit, which that operand loses nothing by.
    """
    lows, highs = zip(*(operand.reach() for operand in operands), strict=True)
    low, high = min(0.0, *lows), max(0.0, *highs)
    if total:
        low, high = min(low, sum(lows)), max(high, sum(highs))
    top = (1 << (bits - (low < 0))) - 1 - total  # the roundings of a sum may add up to one unit
    finest = np.float32(max(high, -low) / top)
    if float(finest) * top < max(high, -low):
        finest = np.float32(np.nextafter(finest, np.float32(np.inf)))
    if not finest > 0:
        return 1.0
    own = max((float(operand.scale.max()) for operand in operands if len(operand.chain) == 1), default=0.0)
    most = int(own / float(finest))
    fractions = {*range(1, min(most, _COARSEST) + 1), *range(max(1, most - _FINEST), most + 1)}
    units = [finest, *(unit for unit in (np.float32(own / k) for k in fractions) if unit >= finest)]
    errors = [_error(operands, unit, total=total) for unit in units]
    enough = max(min(errors), max(high, -low) * _NOTHING)
    return max(float(unit) for unit, error in zip(units, errors, strict=True) if error <= enough)


def _error(operands: list[_Operand], unit: np.float32, *, total: bool) -> float:
    """The most that the result differs from that of the model's float32 operands: an upper bound, real.

    n = rint(fl(x / S)), so |n S - x| <= S (1/2 + 2^-24 |x / S|). Where all x can be looked at, the largest difference itself
    is taken: n S has at most 41 bits, so float64 holds it.
    """
    errors = []
    for operand in operands:
        values = operand.values()
        if values is None:
            reach = max(map(abs, operand.reach())) / float(unit)
            errors.append(float(unit) * (0.5 + _ROUNDED * reach))
        else:
            codes = np.rint(values.astype(np.float32) / unit).astype(np.float64)
            errors.append(float(np.abs(codes * float(unit) - values).max()))
    return sum(errors) if total else max(errors)


def _insert(graph: Graph, reader: Node, place: int, tensor: str, operand: _Operand, unit: np.float32) -> Grid:
    lo, hi = (int(np.rint(np.float32(end) / unit)) for end in operand.reach())
    result, grid = fresh_tensor(graph, f"{tensor}.{reader.name}"), Grid.span(lo, hi)
    graph.values[result] = graph.value(tensor).with_(name=result, grid=grid, scale=np.asarray(unit))
    chain = (Quantize(unit, 0.0, lo, hi, "ROUND"),)
    attrs = {"chain": chain, "factor": 1, "shift": 0, _MARK: (reader.name, place)}
    node = Node("chain", fresh_node(graph, f"{reader.name}.requantize"), [tensor], [result], attrs)
    reader.inputs[place] = result
    graph.nodes.insert(graph.nodes.index(reader), node)
    return grid
