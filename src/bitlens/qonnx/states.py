# SPDX-License-Identifier: Apache-2.0
"""Which output of a recurrent step is which input of the next, as ONNX files carry it: JSON in the model's metadata.

    "bitlens.states": [{"input": "h", "output": "h_next", "initial": 0.5}]

ONNX itself has no place for this. "initial" is what the input holds before the first step, one real number or a nested
list (C), (C, H) or (C, H, W); 0 where it is left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import onnx

from bitlens.graph.graph import Graph, State
from bitlens.graph.spec import CompileError

__all__ = ["STATES_KEY", "attach_states", "read_states", "write_states"]

STATES_KEY = "bitlens.states"

Given = Mapping[str, str | tuple[str, npt.ArrayLike]]


def read_states(graph: Graph, text: str) -> None:
    """Attach the states that a model's metadata tell of.

    Raises:
        CompileError: the text is no such list, or names what the model does not have.
    """
    states: dict[str, tuple[str, npt.ArrayLike]] = {}
    try:
        for entry in json.loads(text):
            name = str(entry["input"])
            if name in states:
                raise CompileError(f"{name}: a state must have an input of its own, not one that another has")
            states[name] = str(entry["output"]), entry.get("initial", 0.0)
    except CompileError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CompileError(
            f'metadata {STATES_KEY}: must be a list of {{"input", "output", "initial"}} in JSON, not {text[:60]!r}'
        ) from error
    attach_states(graph, states)


def attach_states(graph: Graph, states: Given) -> None:
    """Pair inputs with outputs, beside the pairs that the graph has; one of its inputs is paired anew.

    Args:
        graph: at the imported stage.
        states: output, or (output, initial real values), by input. An output alone keeps the initial values that the graph
            has for this input, or begins at 0.

    Raises:
        CompileError: the graph has no such input or output, or one is paired twice.
    """
    if not isinstance(states, Mapping):
        raise CompileError(f"states: must be outputs by input, not {states!r}")
    known = {state.input: (state.output, state.initial) for state in graph.states}
    pairs = {name: _pair(name, given, known) for name, given in states.items()}
    outputs = {output for output, _ in pairs.values()}
    kept = {name: pair for name, pair in known.items() if name not in pairs and pair[0] not in outputs}
    graph.states = []
    taken: set[str] = set()
    for name, (output, initial) in (kept | pairs).items():
        for what, wanted, there in (("input", name, graph.inputs), ("output", output, graph.outputs)):
            if wanted not in there:
                raise CompileError(f"{name}: a state's {what} must be one of {', '.join(there)}, not {wanted}")
        if output in taken:
            raise CompileError(f"{name}: a state must have an output of its own, not {output}, which another has")
        taken.add(output)
        graph.states.append(State(name, output, _initial(name, initial)))
    if graph.states and len(graph.states) == len(graph.inputs):
        raise CompileError(f"{graph.inputs[0]}: model must have an input that is no state")


def _initial(name: str, given: npt.ArrayLike) -> npt.NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):
            numbers = np.asarray(given, np.float32)
    except (ValueError, TypeError, OverflowError) as error:
        raise CompileError(
            f"{name}: initial values must be finite numbers (C, H, W), not {repr(given)[:60]}"
        ) from error
    if numbers.ndim > 3 or not np.all(np.isfinite(numbers)):
        told = f"of shape {numbers.shape}" if numbers.ndim > 3 else numbers[~np.isfinite(numbers)].flat[0]
        raise CompileError(f"{name}: initial values must be finite numbers (C, H, W), not {told}")
    return numbers


def _pair(name: str, given: object, known: Mapping[str, tuple[str, npt.ArrayLike]]) -> tuple[str, npt.ArrayLike]:
    if isinstance(given, str):
        return given, known[name][1] if name in known else 0.0
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], str):
        return given[0], given[1]
    raise CompileError(f"{name}: a state must be told by its output, or by (output, initial values), not {given!r}")


def write_states(model: onnx.ModelProto, states: Given) -> None:
    """Write states into a model's metadata."""
    entries = []
    for name, given in states.items():
        output, initial = (given, 0.0) if isinstance(given, str) else given
        entries.append({"input": name, "output": output, "initial": np.asarray(initial, np.float32).tolist()})
    entry = model.metadata_props.add()
    entry.key, entry.value = STATES_KEY, json.dumps(entries)
