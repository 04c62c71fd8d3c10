# SPDX-License-Identifier: Apache-2.0
"""A compiled program and its `.bitlens` file.

>>> program = Program.load("digits.bitlens")      # doctest: +SKIP
>>> program.run(images)["logits"].shape           # golden, numpy; for speed use bitlens.Session   # doctest: +SKIP
(10, 1, 1, 10)
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bitlens.core.files import write_atomically
from bitlens.graph.check import check_program
from bitlens.graph.decode import FormatError, decode
from bitlens.graph.encode import encode
from bitlens.graph.graph import Graph, GraphError
from bitlens.graph.interpret import interpret, interpret_sequence

__all__ = ["LARGEST_FILE_BYTES", "FormatError", "Program"]

LARGEST_FILE_BYTES = (1 << 31) - 1


@dataclass(frozen=True)
class Program:
    """An integer program: a graph at the integer stage that has passed `check_program`."""

    graph: Graph

    def __post_init__(self) -> None:
        check_program(self.graph)

    @property
    def metadata(self) -> dict[str, str]:
        """The strings stored with the program: tool, source, name, classes, tail."""
        return self.graph.metadata

    def to_bytes(self) -> bytes:
        """The `.bitlens` file of this program."""
        from importlib.metadata import PackageNotFoundError, version

        try:
            tool = f"bitlens {version('bitlens')}"
        except PackageNotFoundError:  # run from a source tree that is not installed
            tool = "bitlens"
        data = encode(self.graph, {"tool": tool} | self.graph.metadata)
        if len(data) > LARGEST_FILE_BYTES:
            raise GraphError(f"program: file must be at most {LARGEST_FILE_BYTES} bytes, not {len(data)}")
        return data

    @classmethod
    def from_bytes(cls, data: bytes) -> Program:
        """Read a file's bytes.

        Raises:
            FormatError: the bytes are no valid program.
        """
        try:
            return cls(decode(data))
        except FormatError:
            raise
        except GraphError as error:
            raise FormatError(f"file: {error}") from None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file; it appears whole or not at all.

        Raises:
            OSError: the disk is full or the folder cannot be written; nothing is left behind.
        """
        write_atomically(path, self.to_bytes())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Program:
        """Read a file.

        Raises:
            FormatError: it is no valid program; the sentence begins with the path.
            OSError: it cannot be read.
        """
        size = os.stat(path).st_size
        if size > LARGEST_FILE_BYTES:
            raise FormatError(f"{path}: file must be at most {LARGEST_FILE_BYTES} bytes, not {size}")
        try:
            return cls.from_bytes(Path(path).read_bytes())
        except FormatError as error:
            raise FormatError(f"{path}: {str(error).removeprefix('file: ')}") from None

    def run(
        self, x: npt.ArrayLike | Mapping[str, npt.ArrayLike], *, keep: bool = False
    ) -> dict[str, npt.NDArray[np.int64]]:
        """Run the golden interpreter.

        Args:
            x: integers (N, H, W, C) of the input's grid, or real values that are quantized by it; or one such array per
                input name.
            keep: return every tensor.

        Returns:
            int64 arrays (N, H, W, C) by output name (every tensor's name with `keep`).
        """
        inputs = x if isinstance(x, Mapping) else {self.graph.inputs[0]: x}
        return interpret(self.graph, inputs, keep=keep)

    def run_sequence(
        self,
        x: npt.ArrayLike | Mapping[str, npt.ArrayLike],
        states: Mapping[str, npt.NDArray[np.int64]] | None = None,
    ) -> tuple[dict[str, npt.NDArray[np.int64]], dict[str, npt.NDArray[np.int64]]]:
        """Run the golden interpreter step by step; `Session.stream` is the fast way.

        Args:
            x: one row (H, W, C) a step, as `run` takes images; by name where several inputs are no state.
            states: integers (H, W, C) before the first step by input name; None: the initial ones.

        Returns:
            int64 arrays (T, H, W, C) by name, of the outputs that are no state; and the states after the last step.

        Raises:
            GraphError: the program has no state, or an input does not fit.
        """
        carried = {state.input for state in self.graph.states}
        free = [name for name in self.graph.inputs if name not in carried]
        return interpret_sequence(self.graph, x if isinstance(x, Mapping) else {free[0]: x}, states)
