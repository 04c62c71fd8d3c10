# SPDX-License-Identifier: Apache-2.0
"""Find what is an integer tensor and what one unit of it means.

From the inputs on: products, sums and pools of integer tensors are integer tensors; a chain makes real values unless it ends
in a quantizer. Here a model is refused whose layers meet real values or units that do not fit.

C channels of the operand, O channels of the result.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from bitlens.core.bounds import ACCUMULATOR_LIMIT, conv_bounds
from bitlens.core.grid import Grid
from bitlens.core.reference import Add
from bitlens.graph.graph import Graph, Node, Value
from bitlens.graph.ops import fills
from bitlens.graph.rewrite import fresh_node, fresh_tensor, insert_after
from bitlens.graph.spec import CompileError
from bitlens.passes.whole_operands import align_operands, settle_operand

__all__ = ["UnalignedError", "find_grids"]

_MOST_BITS = 16  # of the input of a product

FloatArray = npt.NDArray[np.float32]


class UnalignedError(CompileError):
    """A node whose operands have no common unit, or too many bits, where `requantize_joins` may help.

    Args:
        node: its name.
        reason: the rest of the sentence.
    """

    def __init__(self, node: str, reason: str) -> None:
        super().__init__(f"{node}: {reason}, or allow it (--allow-requantize)")
        self.node = node


def find_grids(graph: Graph) -> None:
    """Set grid and scale of every integer tensor.

    A bias in whole units of the sum joins the sum; any other becomes a chain behind it.

    Raises:
        CompileError: real values meet an integer operator, scales differ, or a sum may leave 32 bits.
    """
    whole = _reading_integers(graph)
    for node in [*graph.nodes]:
        rule = _RULES.get(node.op)
        if rule is None:
            continue
        if node.name in whole:
            for place in range(len(node.inputs)):
                settle_operand(graph, node, place)
        value = rule(graph, node, [graph.value(tensor) for tensor in node.inputs])
        if value is not None:
            graph.values[node.output] = graph.value(node.output).with_(grid=value.grid, scale=value.scale)


def _reading_integers(graph: Graph) -> set[str]:
    """Nodes whose operands must be integers; a move may stand in front of a quantizer, with real values."""
    found: set[str] = set()
    readers: dict[str, list[Node]] = {}
    for node in reversed(graph.nodes):
        behind = readers.get(node.output, [])
        if node.op in _RULES and (node.op not in _MOVES or (behind and all(reader.name in found for reader in behind))):
            found.add(node.name)
        for tensor in node.inputs:
            readers.setdefault(tensor, []).append(node)
    return found


def _integer_grid(node: Node, value: Value, remedy: str = "put a quantizer before it") -> Grid:
    if value.grid is None:
        raise CompileError(f"{node.name}: input must be integers, not real values ({value.name}); {remedy}")
    return value.grid


def _summed(node: Node, lo: int, hi: int) -> Grid:
    if lo < -ACCUMULATOR_LIMIT or hi > ACCUMULATOR_LIMIT:
        raise CompileError(
            f"{node.name}: sums must stay within 32 bits, not reach [{lo}, {hi}]; use fewer bits or fewer channels"
        )
    return Grid.span(lo, hi)


def _conv(graph: Graph, node: Node, operands: list[Value]) -> Value:
    (x,) = operands
    grid = _integer_grid(node, x)
    weights = node.attrs["weights"]
    if grid.bits > _MOST_BITS:
        raise UnalignedError(
            node.name, f"input must have at most {_MOST_BITS} bits, not {grid.bits}; quantize it to fewer bits"
        )
    with np.errstate(over="ignore"):
        scale = np.asarray(_channel_scale(node, x, weights.shape) * node.attrs.pop("weight_scale"), np.float32)
    if not np.all(np.isfinite(scale)):
        raise CompileError(f"{node.name}: unit of the sums must be finite, not inf; use smaller scales")
    _place_bias(graph, node, scale)
    lo, hi = conv_bounds(weights, grid, node.attrs["bias"], padded=any(node.attrs["pads"]))
    return Value(node.output, None, _summed(node, int(lo.min()), int(hi.max())), scale)


def _place_bias(graph: Graph, node: Node, scale: FloatArray) -> None:
    bias = node.attrs.pop("real_bias")
    if bias is None:
        return
    if bias.integers is not None and np.all(bias.unit == scale):
        node.attrs["bias"] = np.broadcast_to(bias.integers, len(node.attrs["weights"])).copy()
        return
    numbers = bias.real.astype(np.float32)
    chain = {"chain": (Add(numbers if numbers.size > 1 else numbers[0]),), "factor": 1, "shift": 0}
    result = node.output
    node.outputs = [fresh_tensor(graph, f"{result}.sums")]
    graph.values[node.output] = graph.value(result).with_(name=node.output)
    insert_after(graph, node, Node("chain", fresh_node(graph, f"{node.name}.bias"), [node.output], [result], chain))


def _channel_scale(node: Node, x: Value, shape: tuple[int, ...]) -> FloatArray:
    """The unit of the input as the outputs see it: () or (O,)."""
    if x.scale.ndim == 0:
        return x.scale
    if shape[1] != 1:  # each output sums several channels
        raise UnalignedError(
            node.name, "scale of the input must be one number, not one per channel; quantize it per tensor"
        )
    return np.repeat(x.scale, shape[0] // len(x.scale))


def _max_pool(graph: Graph, node: Node, operands: list[Value]) -> Value | None:
    return operands[0] if operands[0].grid is not None else None


def _sum_pool(graph: Graph, node: Node, operands: list[Value]) -> Value:
    (x,) = operands
    grid = _integer_grid(node, x)
    taps = node.attrs.pop("divisor")
    lo, hi = grid.lo * taps, grid.hi * taps
    if any(node.attrs["pads"]):
        lo, hi = min(lo, 0), max(hi, 0)
    return Value(node.output, None, _summed(node, lo, hi), np.asarray(x.scale / np.float32(taps)))


def _upsample(graph: Graph, node: Node, operands: list[Value]) -> Value | None:
    (x,) = operands
    if x.grid is None or not fills(node.attrs):
        return x if x.grid is not None else None
    return Value(node.output, None, Grid.span(min(x.grid.lo, 0), max(x.grid.hi, 0)), x.scale)


def _select(graph: Graph, node: Node, operands: list[Value]) -> Value | None:
    (x,) = operands
    if x.grid is None:
        return None
    return Value(node.output, None, x.grid, x.scale[node.attrs["channels"]] if x.scale.ndim else x.scale)


def _depth_to_space(graph: Graph, node: Node, operands: list[Value]) -> Value | None:
    (x,) = operands
    if x.grid is not None and x.scale.ndim:
        raise UnalignedError(node.name, "scale must be one number, not one per channel; quantize per tensor in front")
    return x if x.grid is not None else None


def _add(graph: Graph, node: Node, operands: list[Value]) -> Value:
    advice = "quantize both branches onto one shared grid before the sum"
    for value in operands:
        _joined_grid(node, value, advice)
    a, b = _aligned(graph, node, operands, advice)
    first, second = (_integer_grid(node, value) for value in (a, b))
    return Value(node.output, None, _summed(node, first.lo + second.lo, first.hi + second.hi), a.scale)


def _multiply(graph: Graph, node: Node, operands: list[Value]) -> Value:
    for value in operands:
        _integer_grid(node, value, "quantize both operands of a product")
    with np.errstate(over="ignore"):
        scale = np.asarray(operands[0].scale * operands[1].scale, np.float32)
    if not np.all(np.isfinite(scale)):
        raise CompileError(f"{node.name}: unit of the product must be finite, not inf; use smaller scales")
    grids = [_integer_grid(node, value) for value in operands]
    corners = [x * y for x in (grids[0].lo, grids[0].hi) for y in (grids[1].lo, grids[1].hi)]
    return Value(node.output, None, _summed(node, min(corners), max(corners)), scale)


def _lookup(graph: Graph, node: Node, operands: list[Value]) -> Value:
    (x,) = operands
    rows = len(node.attrs["table"])
    grid = _integer_grid(node, x, "let the input be the numbers of the table's rows")
    if x.name in graph.inputs and grid.hi >= rows > 0 <= grid.lo:
        grid = Grid.span(0, rows - 1)
        graph.values[x.name] = x.with_(grid=grid)
    if grid.lo < 0 or grid.hi >= rows:
        raise CompileError(f"{node.name}: input must be the number of a row, 0 to {rows - 1}, not {grid}; clip it")
    return Value(node.output, None, node.attrs["table_grid"], node.attrs.pop("table_scale"))


def _concat(graph: Graph, node: Node, operands: list[Value]) -> Value:
    advice = "quantize every branch with one shared scale before the concat"
    for value in operands:
        _joined_grid(node, value, advice)
        if value.scale.ndim:
            raise UnalignedError(node.name, f"scale of the operands must be one number, not one per channel; {advice}")
    operands = _aligned(graph, node, operands, advice)
    grids = [_integer_grid(node, value) for value in operands]
    lo, hi = min(grid.lo for grid in grids), max(grid.hi for grid in grids)
    step = 2 if all(grid.step == 2 and (grid.lo - lo) % 2 == 0 for grid in grids) else 1
    return Value(node.output, None, Grid(lo, hi, step), operands[0].scale)


def _joined_grid(node: Node, value: Value, advice: str) -> Grid:
    if value.grid is None:
        raise UnalignedError(node.name, f"input must be integers, not real values ({value.name}); {advice}")
    return value.grid


def _aligned(graph: Graph, node: Node, operands: list[Value], advice: str) -> list[Value]:
    """The operands in one unit."""
    problem = align_operands(graph, node)
    if problem:
        raise UnalignedError(node.name, f"{problem}; {advice}")
    return [graph.value(tensor) for tensor in node.inputs]


_MOVES = ("max_pool", "upsample", "crop", "select", "depth_to_space")

_RULES: dict[str, Callable[[Graph, Node, list[Value]], Value | None]] = {
    "conv": _conv,
    "max_pool": _max_pool,
    "sum_pool": _sum_pool,
    "upsample": _upsample,
    "select": _select,
    "depth_to_space": _depth_to_space,
    "crop": lambda graph, node, operands: operands[0] if operands[0].grid is not None else None,
    "add": _add,
    "multiply": _multiply,
    "lookup": _lookup,
    "concat": _concat,
}
