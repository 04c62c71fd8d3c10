# SPDX-License-Identifier: Apache-2.0
"""Recurrent programs on text: perplexity of the integer program, and every integer beside golden and the trained net."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.graph.file import Program
from bitlens.graph.graph import GraphError
from bitlens.results.forms import Form
from bitlens.runtime import Session, Stream

__all__ = ["as_steps", "program_perplexity", "prove_exact_sequence", "tokens_of"]

Report = dict[str, Any]
Arrays = dict[str, npt.NDArray[Any]]
IntArray = npt.NDArray[np.int64]
_CHUNK = 500  # steps at once: 20 MB of scores of 10,000 words


def tokens_of(recipe: str, data: str | None, limit: int | None = None) -> IntArray:
    """The test text of a language recipe, its first `limit` words.

    Raises:
        TrainError: the recipe has no text, or the limit leaves nothing to predict.
    """
    from bitlens.train import LanguageModelling, TrainError, find_recipe

    task = find_recipe(recipe).task
    if not isinstance(task, LanguageModelling):
        raise TrainError(f"{recipe}: task must be language modelling, not {type(task).__name__}")
    if limit is not None and limit < 2:
        raise TrainError(f"limit: must be at least 2 words, not {limit}")
    tokens = task.corpus(data).test[:limit]
    if len(tokens) < 2:
        raise TrainError(f"{recipe}: test text must have at least 2 words, not {len(tokens)}")
    return tokens


def as_steps(tokens: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Words (T,) as the input of T steps, (T, 1, 1, 1)."""
    return tokens.reshape(-1, 1, 1, 1)


def program_perplexity(form: Form, tokens: IntArray) -> float:
    """Return exp of the mean negative log likelihood of all words but the first, read as one text, in float64.

    Args:
        form: of a recurrent program whose first output is one score a word; it begins at its initial state.
        tokens: (words,).
    """
    total = 0.0
    for begin in _chunks(len(tokens) - 1, "perplexity"):
        words = tokens[begin : begin + _CHUNK + 1]
        (scores, *_) = form.run(as_steps(words[:-1]), real=True).values()
        total -= float(_log_likelihoods(scores.reshape(len(scores), -1), words[1:]).sum())
    try:
        return math.exp(total / (len(tokens) - 1))
    except OverflowError:
        return math.inf


def _log_likelihoods(scores: npt.NDArray[np.float32], wanted: IntArray) -> npt.NDArray[np.float64]:
    shifted = scores - scores.max(axis=1, keepdims=True)
    chosen = shifted[np.arange(len(wanted)), wanted].astype(np.float64)
    return np.asarray(chosen - np.log(np.exp(shifted).sum(axis=1, dtype=np.float64)))


def _chunks(steps: int, what: str) -> Iterator[int]:
    for begin in range(0, steps, _CHUNK):
        yield begin
        if sys.stderr.isatty():
            end = "\n" if begin + _CHUNK >= steps else ""
            print(f"\r{what}: {min(begin + _CHUNK, steps):,}/{steps:,} steps", end=end, file=sys.stderr, flush=True)


def prove_exact_sequence(model: str, tokens: IntArray, run: str | None = None) -> Report:
    """Compare all forms of a recurrent program on a text, state by state.

    The engine reads the text as one sequence on each instruction set. Golden, and the trained net in its fixed form, get
    the engine's state before each step: where every step gives the same scores and the same next state, the sequences are
    the same.

    Args:
        model: path of a `.bitlens` file.
        tokens: (words,).
        run: folder of the run it was compiled from.

    Returns:
        As `exact.prove_exact`, of "words".

    Raises:
        GraphError: the program is not recurrent.
    """
    program = Program.load(model)
    if not program.graph.states:
        raise GraphError(f"{model}: program must have states to read a text, not none")
    net = None if run is None else _fixed_net(run)
    if net is not None:
        _check_net(net, program, str(run))
    rows: dict[str, Report] = {}
    streams = {isa: Session(program, isa=isa, threads=1).stream() for isa in _instruction_sets(program)}
    for begin in _chunks(len(tokens), "exact"):
        words = tokens[begin : begin + _CHUNK]
        for isa, stream in streams.items():
            before, found = _recorded(program, stream, words)
            _count(rows, isa, found, program.run({**before, next(iter(stream.inputs)): as_steps(words)}))
            if net is not None and stream is [*streams.values()][-1]:
                reals = {name: _real(program, name, array) for name, array in found.items()}
                _count(rows, "trained net", reals, _net_step(net, program, words, before))
    return {"images": len(tokens), "of": "words", "forms": [*rows.values()]}


def _instruction_sets(program: Program) -> list[str]:
    from bitlens.runtime import SessionError

    found = []
    for isa in ("portable", "avx2", "avx512", "neon"):
        try:
            Session(program, isa=isa)
        except SessionError:
            continue
        found.append(isa)
    return found


def _recorded(program: Program, stream: Stream, words: IntArray) -> tuple[Arrays, Arrays]:
    """The states before each step, by input; and all that each step gives, by output, next states included."""
    states, scores = [stream.state], []
    for step in as_steps(words):
        scores.append(stream.run(step[None]))
        states.append(stream.state)
    before: Arrays = {name: np.stack([state[name] for state in states[:-1]]) for name in states[0]}
    found: Arrays = {name: np.concatenate([score[name] for score in scores]) for name in scores[0]}
    for pair in program.graph.states:
        found[pair.output] = np.stack([state[pair.input] for state in states[1:]])
    return before, found


def _count(rows: dict[str, Report], form: str, found: Arrays, wanted: Arrays) -> None:
    row = rows.setdefault(form, {"form": form, "tensors": len(found), "codes": 0, "differing": 0, "ties": 0})
    row["codes"] += sum(array.size for array in found.values())
    row["differing"] += sum(int((array != wanted[name]).sum()) for name, array in found.items())


def _real(program: Program, name: str, integers: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return scale * integer + offset of an output or of a state's input, float32."""
    graph = program.graph
    tensors = {graph.output_names.get(tensor, tensor): tensor for tensor in graph.outputs}
    value = graph.value(tensors.get(name, name))
    return integers.astype(np.float32) * value.scale + value.offset


def _fixed_net(run: str) -> Any:
    from bitlens.nn import RecurrentStep
    from bitlens.results.line import frozen_run

    net: Any = frozen_run(run)
    return RecurrentStep(net.to_fixed()).eval()


def _check_net(net: Any, program: Program, run: str) -> None:
    import torch

    example, graph = net.example(torch.zeros(1, dtype=torch.int64)), program.graph
    widths = {state.input: (graph.value(state.input).shape or ())[-1] for state in graph.states}
    found = dict(zip(net.state_names, (state.shape[1] for state in example[1:]), strict=True))
    if widths != found:
        raise GraphError(
            f"{run}: run must be the one that the program was compiled from, with states {widths}, not {found}"
        )


def _net_step(net: Any, program: Program, words: IntArray, before: Arrays) -> Arrays:
    """What one step of the trained net makes of each state, real values by output."""
    import torch

    states = [_real(program, name, array).reshape(len(words), -1) for name, array in before.items()]
    with torch.no_grad():
        reals = net(torch.from_numpy(words), *map(torch.from_numpy, states))
    graph = program.graph
    names = [graph.output_names.get(tensor, tensor) for tensor in graph.outputs]
    return {name: real.numpy().reshape(len(words), 1, 1, -1) for name, real in zip(names, reals, strict=True)}
