# SPDX-License-Identifier: Apache-2.0
"""The forms in which a compiled program runs, behind one face: the engine on each instruction set, and golden.

>>> open_form("m.bitlens").run(images)            # the engine
>>> open_form("m.bitlens", backend="golden").run(images)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bitlens.graph.file import Program

__all__ = ["ArrayError", "Form", "open_form", "read_array"]

Arrays = dict[str, npt.NDArray[Any]]


class ArrayError(ValueError):
    """An input file that is no array or picture."""


class Form(Protocol):
    """Something that runs a program."""

    metadata: dict[str, str]

    def run(self, x: npt.NDArray[Any], *, keep: bool = False, real: bool = False) -> Arrays:
        """Run a batch (N, H, W, C); integers by output name, of every tensor with `keep`, real numbers with `real`."""


class _Golden:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.metadata = program.metadata

    def run(self, x: npt.NDArray[Any], *, keep: bool = False, real: bool = False) -> Arrays:
        outputs: Arrays = dict(self.program.run(x, keep=keep))
        if not real:
            return outputs
        graph = self.program.graph
        tensors = {graph.output_names.get(name, name): name for name in [*graph.values]}
        return {
            name: (array * graph.value(tensors[name]).scale + graph.value(tensors[name]).offset).astype(np.float32)
            for name, array in outputs.items()
        }


class _Engine:
    def __init__(self, program: Program, threads: int | None, isa: str | None, size: tuple[int, int] | None) -> None:
        from bitlens.runtime import Session

        self.session = Session(program, threads=threads, isa=isa, size=size)
        self.metadata = program.metadata

    def run(self, x: npt.NDArray[Any], *, keep: bool = False, real: bool = False) -> Arrays:
        return dict(self.session.run(x, keep=keep, real=real))


def open_form(
    model: str,
    *,
    backend: str = "engine",
    threads: int | None = None,
    isa: str | None = None,
    size: tuple[int, int] | None = None,
) -> Form:
    """Open a program.

    Args:
        model: path of a `.bitlens` file.
        backend: "engine" or "golden".
        threads, isa, size: for the engine.

    Raises:
        FormatError: the file is no valid program.
    """
    program = Program.load(model)
    return _Golden(program) if backend == "golden" else _Engine(program, threads, isa, size)


def read_array(path: str) -> npt.NDArray[Any]:
    """Read an array (.npy) or a picture as a batch (N, H, W, C); pictures are uint8 RGB or grey.

    Raises:
        ArrayError: the file is neither.
        OSError: it cannot be read.
    """
    if Path(path).suffix == ".npy":
        try:
            array: npt.NDArray[Any] = np.load(path, allow_pickle=False)
        except (ValueError, EOFError):
            raise ArrayError(f"{path}: input must be a .npy array") from None
        return array
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            pixels = np.asarray(picture if picture.mode in ("L", "RGB") else picture.convert("RGB"))
    except UnidentifiedImageError:
        raise ArrayError(f"{path}: input must be a .npy array or a picture") from None
    return pixels.reshape(1, *pixels.shape[:2], -1)  # (H, W[, 3]) -> (1, H, W, C)
