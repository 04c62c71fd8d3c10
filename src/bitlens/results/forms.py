# SPDX-License-Identifier: Apache-2.0
"""The forms in which a compiled program runs, behind one face: the engine on each instruction set, and golden.

>>> open_form("m.bitlens").run(images)            # the engine
>>> open_form("m.bitlens", backend="golden").run(images)
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bitlens.graph.file import Program
from bitlens.graph.island_file import load_program
from bitlens.graph.islands import IslandProgram

__all__ = ["ArrayError", "Form", "open_form", "read_array"]

Arrays = dict[str, npt.NDArray[Any]]


class ArrayError(ValueError):
    """An input file that is no array or picture."""


class Form(Protocol):
    """Something that runs a program; rows are steps of one sequence where it is recurrent."""

    metadata: dict[str, str]
    recurrent: bool

    def run(self, x: npt.NDArray[Any], *, keep: bool = False, real: bool = False) -> Arrays:
        """Run a batch (N, H, W, C); integers by output name, of every tensor with `keep`, real numbers with `real`."""


class _Golden:
    recurrent = False

    def __init__(self, program: Program) -> None:
        self.program = program
        self.metadata = program.metadata

    def run(self, x: npt.NDArray[Any], *, keep: bool = False, real: bool = False) -> Arrays:
        outputs: Arrays = dict(self.program.run(x, keep=keep))
        return _real_values(self.program, outputs) if real else outputs


class _Engine:
    """A program of symbolic size is planned for the size of the images it meets."""

    recurrent = False

    def __init__(self, program: Program | IslandProgram, threads: int | None, isa: str | None) -> None:
        from bitlens.runtime import Session

        self.plan = partial(Session, program, threads=threads, isa=isa)
        self.symbolic = _is_symbolic(program)
        self.session = None if self.symbolic else self.plan()
        self.size: tuple[int, ...] = ()  # that a symbolic program is planned for
        self.metadata = program.metadata

    def run(self, x: npt.NDArray[Any], *, keep: bool = False, real: bool = False) -> Arrays:
        if x.ndim != 4 and self.symbolic:
            raise ArrayError(f"input: shape must be (N, H, W, C), not {x.shape}")
        if self.session is None or (self.symbolic and x.shape[1:3] != self.size):
            self.session, self.size = self.plan(size=x.shape[1:3]), x.shape[1:3]
        return dict(self.session.run(x, keep=keep, real=real))


class _GoldenIslands:
    """A program with float islands, its integer parts in golden."""

    recurrent = False

    def __init__(self, program: IslandProgram) -> None:
        self.run = program.run
        self.metadata = program.metadata


class _GoldenSequence:
    """A recurrent program: rows of x are steps of one sequence, which goes on from call to call."""

    recurrent = True

    def __init__(self, program: Program) -> None:
        self.program = program
        self.metadata = program.metadata
        self.states: dict[str, npt.NDArray[np.int64]] | None = None

    def run(self, x: npt.NDArray[Any], *, keep: bool = False, real: bool = False) -> Arrays:
        _refuse_keep(keep)
        outputs, self.states = self.program.run_sequence(x, self.states)
        return _real_values(self.program, dict(outputs)) if real else dict(outputs)


class _EngineSequence:
    recurrent = True

    def __init__(self, program: Program, threads: int | None, isa: str | None) -> None:
        from bitlens.runtime import Session

        self.stream = Session(program, threads=threads, isa=isa).stream()
        self.metadata = program.metadata

    def run(self, x: npt.NDArray[Any], *, keep: bool = False, real: bool = False) -> Arrays:
        _refuse_keep(keep)
        return dict(self.stream.run(x, real=real))


def _is_symbolic(program: Program | IslandProgram) -> bool:
    """Whether the size of an input is open."""
    if isinstance(program, IslandProgram):
        return any(None in (value.shape or ())[1:] for value in program.inputs)
    return any(None in (program.graph.value(name).shape or ()) for name in program.graph.inputs)


def _refuse_keep(keep: bool) -> None:
    if keep:
        raise ArrayError("keep: must not be asked of a recurrent program, which gives its outputs step by step")


def _real_values(program: Program, outputs: Arrays) -> Arrays:
    graph = program.graph
    tensors = {graph.output_names.get(name, name): name for name in [*graph.values]}
    return {
        name: (array * graph.value(tensors[name]).scale + graph.value(tensors[name]).offset).astype(np.float32)
        for name, array in outputs.items()
    }


def open_form(
    model: str,
    *,
    backend: str = "engine",
    threads: int | None = None,
    isa: str | None = None,
) -> Form:
    """Open a program.

    Args:
        model: path of a `.bitlens` file.
        backend: "engine" or "golden".
        threads, isa: for the engine.

    Raises:
        FormatError: the file is no valid program.
    """
    program = load_program(model)
    if isinstance(program, IslandProgram):
        return _GoldenIslands(program) if backend == "golden" else _Engine(program, threads, isa)
    if program.graph.states:
        return _GoldenSequence(program) if backend == "golden" else _EngineSequence(program, threads, isa)
    return _Golden(program) if backend == "golden" else _Engine(program, threads, isa)


def read_array(path: str) -> npt.NDArray[Any]:
    """Read an array (.npy) or a picture as a batch (N, H, W, C); pictures are uint8 RGB or grey.

    Raises:
        ArrayError: the file is neither.
        OSError: it cannot be read.
    """
    if Path(path).suffix == ".npy":
        return _read_npy(path)
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            pixels = np.asarray(picture if picture.mode in ("L", "RGB") else picture.convert("RGB"))
    except UnidentifiedImageError:
        raise ArrayError(f"{path}: input must be a .npy array or a picture, not a file of another kind") from None
    except OSError as error:
        if error.filename is not None:
            raise
        raise ArrayError(f"{path}: picture must be whole, not damaged") from None
    return pixels.reshape(1, *pixels.shape[:2], -1)  # (H, W[, 3]) -> (1, H, W, C)


def _read_npy(path: str) -> npt.NDArray[Any]:
    with Path(path).open("rb") as stream:
        magic = stream.read(len(np.lib.format.MAGIC_PREFIX))
    if magic != np.lib.format.MAGIC_PREFIX:
        raise ArrayError(f"{path}: input must be a .npy array, not a file of another kind")
    try:
        array: npt.NDArray[Any] = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        found = "one of Python objects" if "Object arrays" in str(error) else "a damaged one"
        raise ArrayError(f"{path}: input must be a whole .npy array of numbers, not {found}") from None
    return array
