# SPDX-License-Identifier: Apache-2.0
"""Turn every chain that ends in a quantizer into a step table or, for wide grids, a proven multiply-add-shift."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bitlens.core.bounds import conv_bounds
from bitlens.core.grid import Grid
from bitlens.core.reference import Chain, Multiply, Quantize, ends_in_codes, evaluate, is_monotone
from bitlens.core.rescale import find_rescale
from bitlens.core.steps import StepsError, StepTable, find_steps
from bitlens.graph.graph import Graph, Node, Value
from bitlens.graph.spec import CompileError
from bitlens.passes.sink_moves import is_scalar

__all__ = ["find_step_tables", "reached_range"]

IntArray = npt.NDArray[np.int64]

_FAR = 1 << 30
_MOST_STEP_BITS = 4  # comparators; wider grids are tried as multiply-add-shift first


def find_step_tables(graph: Graph) -> None:
    """Replace chains by `steps` and `rescale`.

    Raises:
        CompileError: a chain is too long to scan, or reads real values.
    """
    for node in graph.nodes:
        if node.op == "chain" and ends_in_codes(node.attrs["chain"]):
            _replace(graph, node)


def _replace(graph: Graph, node: Node) -> None:
    value, result = graph.value(node.inputs[0]), graph.value(node.output)
    if value.grid is None or result.grid is None:
        raise CompileError(
            f"{node.name}: input must be integers, not real values ({value.name}); put a quantizer before it"
        )
    lo, hi = reached_range(graph, value)
    chain: Chain = (Multiply(value.scale), *node.attrs["chain"])
    if is_scalar(chain):  # all channels share one row
        lo, hi = lo.min(keepdims=True), hi.max(keepdims=True)
    with np.errstate(all="ignore"):
        ends = evaluate(chain[:-1], np.stack([lo, hi]))  # nan comes from an infinity, which an end reaches first
    if np.any(np.isnan(ends)):
        raise CompileError(f"{node.name}: what is quantized must be numbers, not nan; repair the scales of the model")
    if node.attrs.get("unclamped"):
        _check_unclamped(node, chain, np.stack([lo, hi]), result.grid)
    try:
        table = find_steps(chain, lo, hi)
    except StepsError as error:
        raise CompileError(
            f"{node.name}: {str(error).removeprefix('steps: ')}; use a clip or relu, or fewer bits"
        ) from error
    table = StepTable(table.breakpoints, node.attrs["factor"] * table.values + node.attrs["shift"])
    node.attrs = {}
    if result.grid.bits > _MOST_STEP_BITS:
        rescale = find_rescale(table, lo, hi, result.grid)
        if rescale is not None:
            rescale = rescale.merged()
            node.op = "rescale"
            node.attrs = {
                "multiplier": rescale.multiplier,
                "addend": rescale.addend,
                "shift": rescale.shift,
                "lo": result.grid.lo,
                "hi": result.grid.hi,
            }
            return
    table = table.merged()
    node.op, node.attrs = "steps", {"breakpoints": table.breakpoints, "values": table.values}


def _check_unclamped(node: Node, chain: Chain, ends: IntArray, grid: Grid) -> None:
    """Prove that a quantizer without a clamp stays within the limits that its bit width suggests; its chain is monotone."""
    last = chain[-1]
    assert isinstance(last, Quantize)
    reached = evaluate((*chain[:-1], replace(last, lo=-_FAR, hi=_FAR)), ends)
    if not is_monotone(chain) or not grid.contains(reached):
        raise CompileError(
            f"{node.name}: codes must stay within {grid.lo}..{grid.hi}, not reach {reached.min()}..{reached.max()}; "
            "use version 2 of Trunc, which clamps"
        )


def reached_range(graph: Graph, value: Value) -> tuple[IntArray, IntArray]:
    """Smallest and largest integer per channel, (C,): of each output channel for a convolution, else of the grid."""
    node = graph.producer(value.name)
    while node is not None and node.op == "max_pool":
        node = graph.producer(node.inputs[0])
    if node is not None and node.op == "conv":
        grid = graph.value(node.inputs[0]).grid
        assert grid is not None
        return conv_bounds(node.attrs["weights"], grid, node.attrs["bias"], padded=any(node.attrs["pads"]))
    channels = (value.shape or (None, None))[1]
    assert value.grid is not None and channels is not None
    return np.full(channels, value.grid.lo), np.full(channels, value.grid.hi)
