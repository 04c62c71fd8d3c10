# SPDX-License-Identifier: Apache-2.0
"""Which output of a recurrent step is which input of the next, as ONNX files carry it: JSON in the model's metadata.

    "bitlens.states": [{"input": "h", "output": "h_next", "initial": 0.5}]

ONNX itself has no place for this. "initial" is what the input holds before the first step, one real number or a nested
list that broadcasts against (C, H, W); 0 where it is left out.
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
    """Pair inputs with outputs.

    Args:
        graph: at the imported stage.
        states: output, or (output, initial real values), by input.

    Raises:
        CompileError: the graph has no such input or output, or one is paired twice.
    """
    graph.states = []
    taken: set[str] = set()
    for name, given in states.items():
        output, initial = (given, 0.0) if isinstance(given, str) else given
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


def write_states(model: onnx.ModelProto, states: Given) -> None:
    """Write states into a model's metadata."""
    entries = []
    for name, given in states.items():
        output, initial = (given, 0.0) if isinstance(given, str) else given
        entries.append({"input": name, "output": output, "initial": np.asarray(initial, np.float32).tolist()})
    entry = model.metadata_props.add()
    entry.key, entry.value = STATES_KEY, json.dumps(entries)
