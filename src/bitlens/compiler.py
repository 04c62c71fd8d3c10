# SPDX-License-Identifier: Apache-2.0
"""From a QONNX model to a program: the door and the passes in one call."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Literal, overload

from bitlens.graph.file import Program
from bitlens.graph.islands import IslandProgram
from bitlens.graph.spec import CompileError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt
    import onnx

    from bitlens.graph.graph import Graph

__all__ = ["CompileError", "compile"]


@overload
def compile(
    model: str | os.PathLike[str] | onnx.ModelProto,
    *,
    states: Mapping[str, str | tuple[str, npt.ArrayLike]] | None = None,
    allow_requantize: bool = False,
    progress: bool = False,
    observe: Callable[[str, Graph], None] | None = None,
    float_islands: Literal[False] = False,
) -> Program: ...


@overload
def compile(
    model: str | os.PathLike[str] | onnx.ModelProto,
    *,
    states: Mapping[str, str | tuple[str, npt.ArrayLike]] | None = None,
    allow_requantize: bool = False,
    progress: bool = False,
    observe: Callable[[str, Graph], None] | None = None,
    float_islands: bool,
) -> Program | IslandProgram: ...


def compile(
    model: str | os.PathLike[str] | onnx.ModelProto,
    *,
    states: Mapping[str, str | tuple[str, npt.ArrayLike]] | None = None,
    allow_requantize: bool = False,
    progress: bool = False,
    observe: Callable[[str, Graph], None] | None = None,
    float_islands: bool = False,
) -> Program | IslandProgram:
    """Compile a QONNX model to an integer program.

    Args:
        model: path of a file, or a model in memory.
        states: of a recurrent step that does not tell them itself: the output that is an input of the next step, or that
            output and the real values before the first step, by input; beside what the file tells.
        allow_requantize: bring tensors that meet with different scales onto a shared one instead of refusing them. This
            changes the model: the metadata's "requantized" states by how much, layer by layer.
        progress: show the passes on standard error.
        observe: called with the name of every pass and the graph it leaves.
        float_islands: run what integers cannot say in float on the host, where a model is partially quantized.

    Returns:
        The program. Its metadata holds the model's name and SHA-256, the float operators left outside as "tail", and the
        bounds of what was requantized. An `IslandProgram` where there are float islands.

    Raises:
        CompileError: the model cannot be read, or cannot be compiled exactly; one line with layer, reason and remedy.
    """
    from bitlens.passes.lower_around_islands import islands_help, lower_around_islands
    from bitlens.passes.pipeline import lower_to_integers
    from bitlens.qonnx.read import read
    from bitlens.qonnx.states import attach_states

    graph, show = read(model), _show if progress else None
    if states is not None:
        attach_states(graph, states)
    if float_islands and allow_requantize:
        raise CompileError(
            "model: float islands and requantization must not be asked for together; choose one of the two"
        )
    try:
        return Program(lower_to_integers(graph, allow_requantize=allow_requantize, progress=show, observe=observe))
    except CompileError as error:
        if float_islands:
            return lower_around_islands(graph, show, observe)
        if islands_help(graph, str(error)):
            raise CompileError(f"{error}, or run it in float on the host with --float-islands") from error
        raise
    except RecursionError as error:
        name = graph.metadata.get("name") or "model"
        raise CompileError(f"{name}: layers that only move or scale must be some hundreds in a row at most") from error
    finally:
        if progress:
            print(file=sys.stderr)


def _show(name: str, place: int, total: int) -> None:
    print(f"\rcompile: {place + 1}/{total} {name:<24}", end="", file=sys.stderr, flush=True)
