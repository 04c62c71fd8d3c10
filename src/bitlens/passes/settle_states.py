# SPDX-License-Identifier: Apache-2.0
"""Give every state of a recurrent program its initial integers, and see that an output can be the next step's input."""

from __future__ import annotations

import numpy as np

from bitlens.core.inputs import to_integers
from bitlens.graph.graph import Graph, State, Value
from bitlens.graph.spec import CompileError

__all__ = ["settle_states"]


def settle_states(graph: Graph) -> None:
    """Quantize initial values by the input's own quantizer; comes after `move_channels_last`.

    Raises:
        CompileError: a state's output lies on another grid than its input, or has another unit or shape.
    """
    users = {graph.output_names.get(name, name): name for name in graph.outputs}
    cut = {line.rpartition(": ")[0] for line in graph.metadata.get("tail", "").splitlines()}
    for state in graph.states:
        if state.output not in users or state.output in cut:
            raise CompileError(f"{state.input}: a state's output must be integers, not the float tail {state.output}")
    graph.states = [_settled(graph, state, graph.value(users[state.output])) for state in graph.states]


def _settled(graph: Graph, state: State, after: Value) -> State:
    before = graph.value(state.input)
    assert before.grid is not None and before.shape is not None
    if before.shape != after.shape or None in before.shape:
        raise CompileError(
            f"{state.input}: a state must keep one fixed shape, not be {before.shape} and then {after.shape}; "
            "export one step with a fixed size"
        )
    if after.grid is None or not before.grid.covers(after.grid) or not _alike(before, after):
        raise CompileError(
            f"{state.input}: a state must be quantized by one quantizer as input and as output {state.output}, "
            f"not as {_told(before)} and {_told(after)}; put the same quantizer on both"
        )
    height, width, channels = (size or 0 for size in before.shape)
    real = np.asarray(state.initial, np.float32)
    if real.ndim or before.scale.ndim or before.offset.ndim:
        try:
            real = np.broadcast_to(real.reshape(real.shape + (1,) * (3 - real.ndim)), (channels, height, width))
        except ValueError as error:
            raise CompileError(
                f"{state.input}: initial values must be one number or of shape {(channels, height, width)}, "
                f"not {np.shape(state.initial)}"
            ) from error
        real = real.transpose(1, 2, 0)
    integers = to_integers(state.input, real, before.grid, before.scale, before.offset, before.rounding)
    return State(state.input, state.output, np.asarray(integers, np.int64))


def _alike(a: Value, b: Value) -> bool:
    pairs = ((a.scale, b.scale), (a.offset, b.offset))
    return all(bool(np.all(x == y)) for x, y in pairs)


def _told(value: Value) -> str:
    return f"{value.grid} with scale {value.scale.reshape(-1)[0]:.9g}"
