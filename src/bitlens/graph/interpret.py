# SPDX-License-Identifier: Apache-2.0
"""The golden interpreter: what an integer program means, in numpy.

Slow and obvious. Every back end is compared with it by `==`. Sums run in float64 BLAS, which is exact because every
accumulator is proven to lie within 32 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.core.grid import Grid
from bitlens.core.inputs import InputError, as_maps, check_integers, check_names, to_integers
from bitlens.core.rescale import Rescale
from bitlens.core.steps import StepTable
from bitlens.graph.graph import Graph, GraphError, Node
from bitlens.graph.patches import row_blocks

__all__ = ["interpret", "interpret_sequence", "run_node"]

IntArray = npt.NDArray[np.int64]

_BATCH = 64  # images at once, so that patches stay in memory


def interpret(graph: Graph, inputs: Mapping[str, npt.ArrayLike], *, keep: bool = False) -> dict[str, IntArray]:
    """Run an integer graph.

    Args:
        graph: at the integer stage.
        inputs: integers (N, H, W, C) of each input's grid, or real values that are quantized by it, by input name.
        keep: return every tensor, not only the outputs.

    Returns:
        int64 arrays (N, H, W, C) by tensor name; outputs under the names users see.

    Raises:
        GraphError: an input is missing, has the wrong shape, or holds an integer outside its grid.
    """
    arrays = _checked_inputs(graph, graph.inputs, inputs)
    count = len(next(iter(arrays.values())))
    parts = [
        _run({name: array[begin : begin + _BATCH] for name, array in arrays.items()}, graph, keep)
        for begin in range(0, max(1, count), _BATCH)
    ]
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def interpret_sequence(
    graph: Graph, inputs: Mapping[str, npt.ArrayLike], states: Mapping[str, IntArray] | None = None
) -> tuple[dict[str, IntArray], dict[str, IntArray]]:
    """Run a recurrent graph step by step.

    Args:
        graph: at the integer stage, with states.
        inputs: as `interpret` takes them, (T, H, W, C) with one row a step, for the inputs that are no state.
        states: integers (H, W, C) before the first step by input name; None: the initial ones.

    Returns:
        int64 arrays (T, H, W, C) by output name, of the outputs that are no state; and the states after the last step.

    Raises:
        GraphError: the graph has no state, or an input does not fit.
    """
    if not graph.states:
        raise GraphError("program: must have states to run a sequence, not none")
    carried = [state.input for state in graph.states]
    if states is None:
        shapes = {name: tuple(size or 0 for size in graph.value(name).shape or ()) for name in carried}
        states = {s.input: np.broadcast_to(s.initial, shapes[s.input]) for s in graph.states}
    now = _checked_inputs(graph, carried, {name: np.asarray(array)[None] for name, array in states.items()})
    arrays = _checked_inputs(graph, [name for name in graph.inputs if name not in carried], inputs)
    nothing = {name: array[:0] for name, array in (arrays | now).items()}
    parts = [_run(nothing, graph, keep=False)]  # no row: the shapes of the outputs, where there is no step
    for step in range(len(next(iter(arrays.values())))):
        parts.append(_run({name: array[step : step + 1] for name, array in arrays.items()} | now, graph, keep=False))
        now = {state.input: parts[-1][state.output] for state in graph.states}
    following = {state.output for state in graph.states}
    outputs = {name: np.concatenate([part[name] for part in parts]) for name in parts[0] if name not in following}
    return outputs, {name: array[0] for name, array in now.items()}


def _checked_inputs(graph: Graph, names: Collection[str], given: Mapping[str, npt.ArrayLike]) -> dict[str, IntArray]:
    """Integers (N, H, W, C) of the named inputs, with one N."""
    try:
        check_names(names, given)
        arrays = {name: _checked(graph, name, np.asarray(given[name])) for name in names}
    except InputError as error:
        raise GraphError(str(error)) from None
    counts = {name: len(array) for name, array in arrays.items()}
    if len({*counts.values()}) > 1:
        raise GraphError(f"inputs: all must have one batch size, not {counts}")
    return arrays


def _checked(graph: Graph, name: str, array: npt.NDArray[Any]) -> IntArray:
    value = graph.value(name)
    assert value.grid is not None
    shape = value.shape or ()
    array = as_maps(array, shape)
    fits = array.ndim == 4 and all(want in (None, got) for want, got in zip(shape, array.shape[1:], strict=True))
    if not fits:
        raise GraphError(
            f"{name}: shape must be (N, {', '.join(str(size or '?') for size in shape)}), not {array.shape}"
        )
    for size, multiple in zip(array.shape[1:3], value.multiples, strict=True):
        if size % multiple:
            raise GraphError(f"{name}: height and width must be multiples of {value.multiples}, not {array.shape[1:3]}")
    array = to_integers(name, array, value.grid, value.scale, value.offset, value.rounding)
    check_integers(name, array, value.grid)
    return array.astype(np.int64)


def _run(arrays: dict[str, IntArray], graph: Graph, keep: bool) -> dict[str, IntArray]:
    live = dict(arrays)
    last_use = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs}
    for i, node in enumerate(graph.nodes):
        live[node.output] = run_node(node, [live[name] for name in node.inputs])
        if not keep:
            for name in node.inputs:
                if last_use[name] == i and name not in graph.outputs:
                    live.pop(name, None)
    kept = {name: array for name, array in live.items() if name not in graph.inputs} if keep else {}
    return kept | {graph.output_names.get(name, name): live[name] for name in graph.outputs}


def run_node(node: Node, operands: list[IntArray]) -> IntArray:
    """Run one integer op on arrays (N, H, W, C)."""
    return _RUN[node.op](node.attrs, operands)


def _windows(x: IntArray, attrs: Mapping[str, Any], fill: int) -> IntArray:
    """Sliding windows, a view of (N, H', W', C, kh, kw)."""
    top, left, bottom, right = attrs["pads"]
    padded = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=fill)
    (kh, kw), (sh, sw), (dh, dw) = attrs["kernel"], attrs["stride"], attrs["dilation"]
    view = np.lib.stride_tricks.sliding_window_view(padded, (dh * (kh - 1) + 1, dw * (kw - 1) + 1), axis=(1, 2))
    return np.asarray(view[:, ::sh, ::sw, :, ::dh, ::dw])


def _conv(attrs: Mapping[str, Any], operands: list[IntArray]) -> IntArray:
    weights, groups = attrs["weights"], attrs["groups"]
    out_channels, depth = len(weights), weights.shape[3]
    (x,) = operands
    windows = _windows(x.astype(np.float64), attrs, 0)  # (N, H', W', C, kh, kw)
    n, height, width = windows.shape[:3]
    per_group = out_channels // groups
    out = np.empty((n, height, width, out_channels), np.int64)
    for g in range(groups):
        taps = weights[g * per_group : (g + 1) * per_group].transpose(0, 3, 1, 2).reshape(per_group, -1)
        taps = taps.astype(np.float64).T  # (C/g*kh*kw, O/g)
        for block in row_blocks(n, height, width * len(taps)):
            seen = windows[block][..., g * depth : (g + 1) * depth, :, :]  # (n, h, W', C/g, kh, kw)
            sums = seen.reshape(-1, len(taps)) @ taps  # (n*h*W', O/g), exact below 2^53
            out[block][..., g * per_group : (g + 1) * per_group] = sums.reshape(*seen.shape[:3], per_group)
    return out if attrs["bias"] is None else out + np.asarray(attrs["bias"], np.int64)


def _rescale(attrs: Mapping[str, Any], operands: list[IntArray]) -> IntArray:
    grid = Grid.span(attrs["lo"], attrs["hi"])
    return Rescale(attrs["multiplier"], attrs["addend"], attrs["shift"], grid).apply(operands[0])


def _upsample(attrs: Mapping[str, Any], operands: list[IntArray]) -> IntArray:
    (x,) = operands
    (fh, fw), (top, left, bottom, right) = attrs["factor"], attrs["pads"]
    if attrs["repeat"]:
        large = x.repeat(fh, axis=1).repeat(fw, axis=2)
    else:
        large = np.zeros((x.shape[0], x.shape[1] * fh, x.shape[2] * fw, x.shape[3]), np.int64)
        large[:, ::fh, ::fw] = x
    added = [(0, 0), (max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0)), (0, 0)]
    large = np.pad(large, added)
    height, width = large.shape[1:3]
    return large[:, max(-top, 0) : height - max(-bottom, 0), max(-left, 0) : width - max(-right, 0)]


def _depth_to_space(attrs: Mapping[str, Any], operands: list[IntArray]) -> IntArray:
    n, height, width, channels = operands[0].shape
    block = attrs["block"]
    parts = operands[0].reshape(n, height, width, block, block, channels // block**2)
    return np.asarray(parts.transpose(0, 1, 3, 2, 4, 5).reshape(n, height * block, width * block, channels // block**2))


def _flatten(attrs: Mapping[str, Any], operands: list[IntArray]) -> IntArray:
    n, height, width, channels = operands[0].shape  # n may be 0, so that no -1 stands for the rest
    return operands[0].reshape(n, 1, 1, height * width * channels)


_RUN: dict[str, Callable[[Mapping[str, Any], list[IntArray]], IntArray]] = {
    "conv": _conv,
    "steps": lambda attrs, operands: StepTable(attrs["breakpoints"], attrs["values"]).apply(operands[0]),
    "rescale": _rescale,
    "max_pool": lambda attrs, operands: _windows(operands[0], attrs, -(1 << 31)).max(axis=(4, 5)),
    "sum_pool": lambda attrs, operands: _windows(operands[0], attrs, 0).sum(axis=(4, 5)),
    "add": lambda attrs, operands: operands[0] + operands[1],
    "multiply": lambda attrs, operands: operands[0] * operands[1],
    "lookup": lambda attrs, operands: attrs["table"][operands[0][..., 0]].astype(np.int64),
    "concat": lambda attrs, operands: np.concatenate(operands, axis=3),
    "flatten": _flatten,
    "upsample": _upsample,
    "select": lambda attrs, operands: operands[0][..., attrs["channels"]],
    "depth_to_space": _depth_to_space,
    "crop": lambda attrs, operands: operands[0][:, : operands[1].shape[1], : operands[1].shape[2]],
}
