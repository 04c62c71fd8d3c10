# SPDX-License-Identifier: Apache-2.0
"""What must hold of an integer program before it may be saved or run, whoever made it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bitlens.core.bounds import ACCUMULATOR_LIMIT
from bitlens.core.grid import Grid
from bitlens.graph.graph import Graph, GraphError, Node
from bitlens.graph.ops import describe_outputs, only_moves

__all__ = ["check_program"]

_LARGEST_PRODUCT = 1 << 62
_LARGEST_SIDE = (1 << 31) - 1


def check_program(graph: Graph) -> None:
    """Check shapes, grids and ranges of every tensor.

    Raises:
        GraphError: one line that names the op, the rule and the value.
    """
    if not graph.inputs or not graph.outputs:
        raise GraphError("program: must have at least one input and one output")
    for name in graph.inputs:
        _check_input(graph, name)
    for node in graph.nodes:
        _check_node(graph, node)
    for name in graph.outputs:
        if name not in graph.values:
            raise GraphError(f"program: output {name} must be born in the program")
    users = [graph.output_names.get(name, name) for name in graph.outputs]
    if len(set(users)) < len(users):
        raise GraphError(f"program: output names must be unique, not {', '.join(users)}")
    for name, user in zip(graph.outputs, users, strict=True):
        if user != name and user in graph.values:
            raise GraphError(f"{user}: output must not have the name of another tensor")
    _check_states(graph, dict(zip(users, graph.outputs, strict=True)))


def _check_states(graph: Graph, tensors: dict[str, str]) -> None:
    """A state's output must be able to be its input of the next step."""
    for ends in ([state.input for state in graph.states], [state.output for state in graph.states]):
        if len(set(ends)) < len(ends):
            raise GraphError(f"program: every state must have an input and an output of its own, not {', '.join(ends)}")
    if graph.states and len(graph.states) == len(graph.inputs):
        raise GraphError("program: must have an input that is no state")
    for state in graph.states:
        if state.input not in graph.inputs or state.output not in tensors:
            raise GraphError(f"{state.input}: a state must pair an input with an output, not {state.output}")
        before, after = graph.value(state.input), graph.value(tensors[state.output])
        assert before.grid is not None
        assert after.grid is not None
        if before.shape != after.shape or None in (before.shape or (None,)):
            raise GraphError(
                f"{state.input}: a state must keep one fixed shape, not be {before.shape} and then {after.shape}"
            )
        if not before.grid.covers(after.grid):
            raise GraphError(f"{state.input}: a state's next integers {after.grid} must be on its grid {before.grid}")
        for what, a, b in (("scale", before.scale, after.scale), ("offset", before.offset, after.offset)):
            if not np.all(a == b):
                raise GraphError(
                    f"{state.input}: a state must keep its {what}, not change it from {_first(a)} to {_first(b)}"
                )
        if state.initial.shape not in ((), before.shape):
            raise GraphError(
                f"{state.input}: initial integers must be one or of shape {before.shape}, not {state.initial.shape}"
            )
        if not before.grid.contains(state.initial):
            raise GraphError(f"{state.input}: every initial integer must be on its grid {before.grid}")


def _first(numbers: npt.NDArray[np.float32]) -> str:
    return f"{numbers.reshape(-1)[0]:.9g}"


def _check_input(graph: Graph, name: str) -> None:
    value = graph.value(name)
    if value.grid is None or value.shape is None or len(value.shape) != 3 or value.shape[2] is None:
        raise GraphError(f"{name}: input must have a grid and a shape (H, W, C)")
    _check_sides(name, value.shape)
    if min(value.multiples) < 1:
        raise GraphError(f"{name}: multiples must be at least 1, not {value.multiples}")
    for size, multiple in zip(value.shape[:2], value.multiples, strict=True):
        if size is not None and multiple != 1:
            raise GraphError(f"{name}: a fixed size must have multiple 1, not {multiple}")


def _check_sides(name: str, shape: tuple[int | None, ...]) -> None:
    largest = max((side for side in shape[:2] if side is not None), default=0)
    if largest > _LARGEST_SIDE:
        raise GraphError(f"{name}: height and width must be at most {_LARGEST_SIDE}, not {largest}")


def _check_node(graph: Graph, node: Node) -> None:
    shape, (lo, hi) = describe_outputs(graph, node)
    _check_sides(node.name, shape)
    grid = graph.value(node.output).grid
    if node.op == "conv" and not node.attrs["weight_grid"].contains(node.attrs["weights"]):
        raise GraphError(f"{node.name}: every weight must be on {node.attrs['weight_grid']}")
    bias = node.attrs.get("bias")
    if node.op == "conv" and bias is not None and not (-(1 << 31) <= min(bias) <= max(bias) < 1 << 31):
        raise GraphError(f"{node.name}: bias must fit 32 bits, not reach {np.abs(bias).max()}")
    if lo < -ACCUMULATOR_LIMIT or hi > ACCUMULATOR_LIMIT:
        raise GraphError(
            f"{node.name}: sums must stay within 32 bits, not reach [{lo}, {hi}]; use fewer bits or channels"
        )
    if grid is None:
        raise GraphError(f"{node.name}: result must have a grid")
    if node.op == "lookup" and not node.attrs["table_grid"].contains(node.attrs["table"]):
        raise GraphError(f"{node.name}: every number of the table must be on {node.attrs['table_grid']}")
    if node.op == "steps":
        if not grid.contains(node.attrs["values"]):
            raise GraphError(f"{node.name}: every value must be on its grid {grid}")
    elif not grid.covers(_result_grid(graph, node, lo, hi)):
        raise GraphError(f"{node.name}: results in [{lo}, {hi}] must be on its grid {grid}")
    if node.op == "rescale":
        _check_rescale(graph, node)
    if graph.value(node.output).shape != shape:
        raise GraphError(f"{node.name}: shape must be {shape}, not {graph.value(node.output).shape}")


def _result_grid(graph: Graph, node: Node, lo: int, hi: int) -> Grid:
    """The integers a result may hold: ops that only move values keep a common step of their operands."""
    grids = [graph.value(name).grid for name in node.inputs]
    if node.op == "lookup":
        table: Grid = node.attrs["table_grid"]
        return table
    grids = grids[:1] if node.op == "crop" else grids  # of the second only the size is read
    step = 2 if only_moves(node) and all(grid and grid.step == 2 and (grid.lo - lo) % 2 == 0 for grid in grids) else 1
    return Grid(lo, hi, step)


def _check_rescale(graph: Graph, node: Node) -> None:
    operand = graph.value(node.inputs[0]).grid
    assert operand is not None
    if max(np.abs(node.attrs["multiplier"])) >= 1 << 31:
        raise GraphError(f"{node.name}: multiplier must be below 2^31, not {max(np.abs(node.attrs['multiplier']))}")
    largest = max(abs(operand.lo), abs(operand.hi))
    products = np.abs(node.attrs["multiplier"]).astype(object) * largest + np.abs(node.attrs["addend"].astype(object))
    if max(products) >= _LARGEST_PRODUCT:
        raise GraphError(f"{node.name}: m*x + b must stay below 2^62, not reach {max(products)}")
    if min(node.attrs["shift"]) < 0 or max(node.attrs["shift"]) > 62:
        raise GraphError(f"{node.name}: shift must be 0 to 62, not {int(max(node.attrs['shift'], key=abs))}")
