# SPDX-License-Identifier: Apache-2.0
"""A program, ready to run: the Python face of the engine.

    >>> session = Session("digits.bitlens", threads=2)      # doctest: +SKIP
    >>> session.run(images)["logits"].shape                 # uint8 images (N, H, W, C)   # doctest: +SKIP
    (10, 1, 1, 10)

A session may be used by several threads at once (the GIL is released while it runs) and after `fork`. Results never depend on
the number of threads or on the processor.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from bitlens.core.files import ISLANDS_MAGIC
from bitlens.runtime import _native
from bitlens.runtime.stream import Stream
from bitlens.runtime.tensor import SessionError, Tensor, checked_arrays, described, real_values

__all__ = ["Layer", "Session", "SessionError", "Source", "Stream", "Tensor", "checked_options", "read_source"]

IntArray = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float32]


@runtime_checkable
class _HasBytes(Protocol):
    def to_bytes(self) -> bytes: ...


Source = str | os.PathLike[str] | bytes | bytearray | memoryview | _HasBytes

_MOST = (1 << 31) - 1  # threads, and pixels of a side


@dataclass(frozen=True)
class Layer:
    """One step of the plan: an op, together with the requantization that ends it.

    Args:
        name: the op's name in the program.
        op: what runs, such as "conv+steps"; "convert" changes a tensor's storage.
        result: the tensor it writes.
        kernel: the kernel chosen for this processor.
        storage: of the result: "planes" (bit planes), "bytes" or "words" (32 bits).
        in_shape, out_shape: (height, width, channels) of the first operand and of the result.
    """

    name: str
    op: str
    result: str
    kernel: str
    storage: str
    in_shape: tuple[int, int, int]
    out_shape: tuple[int, int, int]


class Session:
    """An integer program planned for this processor and one image size.

    Args:
        source: path of a `.bitlens` file, its bytes, or a `Program` (with float islands or without).
        threads: how many to use; None: as many as the process may (affinity and cgroup quota). More than 64 count as 64.
        isa: "portable", "avx2", "avx512" or "neon" to force kernels; None: the environment's BITLENS_ISA, else the best here.
        size: (height, width) of inputs whose size the program leaves open.

    Raises:
        SessionError: the file is damaged, the size does not fit, the processor lacks the instruction set.
        OSError: the file cannot be read.
    """

    def __new__(cls, source: Source, *options: Any, **named: Any) -> Session:
        """Open a program with float islands as what runs it: its parts in the engine, its islands on the host."""
        if cls is Session and _has_islands(source):
            from bitlens.runtime.islands import IslandSession

            return super().__new__(IslandSession)
        return super().__new__(cls)

    def __init__(
        self,
        source: Source,
        threads: int | None = None,
        isa: str | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        checked_options(threads, size)
        self._data, self._place = read_source(source)
        self._options = (threads or 0, None if isa is None else str(isa), *(size or (0, 0)))
        self._model = self._open(keep=False)
        self._keeper: _native.Model | None = None  # the same plan, every tensor in memory of its own
        self._inputs = {fields[0]: described(fields) for fields in self._model.inputs}
        self._outputs = {fields[0]: described(fields) for fields in self._model.outputs}

    def _open(self, keep: bool) -> _native.Model:
        try:
            return _native.Model(self._data, *self._options, keep)
        except _native.EngineError as error:
            reason = str(error).removeprefix("file: ") if self._place else str(error)
            raise SessionError(f"{self._place}{reason}") from None

    @property
    def metadata(self) -> dict[str, str]:
        """What the file says of itself, such as "name", "recipe" and "licence" (docs/format.md)."""
        return _read_metadata(self._data)

    @property
    def inputs(self) -> dict[str, Tensor]:
        """The inputs by name, in order."""
        return {**self._inputs}

    @property
    def outputs(self) -> dict[str, Tensor]:
        """The outputs by name, in order."""
        return {**self._outputs}

    @property
    def layers(self) -> list[Layer]:
        """What runs, with which kernel, in order."""
        return [Layer(*fields) for fields in self._model.layers]

    @property
    def threads(self) -> int:
        """How many threads runs use."""
        return self._model.threads

    @property
    def arena_bytes(self) -> int:
        """Memory of one image's run: every tensor, and scratch for each thread."""
        return self._model.arena_bytes

    def run(
        self, x: npt.ArrayLike | Mapping[str, npt.ArrayLike], *, real: bool = False, keep: bool = False
    ) -> dict[str, npt.NDArray[Any]]:
        """Run a batch.

        Args:
            x: one array (N, H, W, C), or one per input name; (N, C) or (N,) will do for inputs of one pixel. uint8 and
                other integers are taken as the integers of the input's grid; float arrays are real values and are
                quantized by it (rounded as the model does, clipped to its ends).
            real: return scale * integer + offset, float32, for the outputs.
            keep: return every tensor that is written to memory too, by its name in the program. Sums that are requantized
                while they are in registers never are.

        Returns:
            int32 (float32 with `real`) arrays (N, H, W, C) by output name; kept tensors are int32.

        Raises:
            SessionError: an input is missing, has the wrong shape or dtype, or holds an integer outside its grid.
        """
        arrays = checked_arrays(self._inputs, x)
        count = len(arrays[0])
        model = self._model
        if keep:
            model = self._keeper = self._keeper or self._open(keep=True)
        kept = {fields[0]: np.empty((count, *fields[1]), np.int32) for fields in model.kept} if keep else {}
        outputs = {name: np.empty((count, *tensor.shape), np.int32) for name, tensor in self._outputs.items()}
        try:
            model.run(arrays, [*outputs.values()], [*kept.values()])
        except _native.EngineError as error:
            raise SessionError(str(error)) from None
        if real:
            return kept | {name: real_values(array, self._outputs[name]) for name, array in outputs.items()}
        return kept | outputs

    def stream(self) -> Stream:
        """Begin a sequence of a recurrent program, at the initial state; any number of them may run at the same time.

        Raises:
            SessionError: the program has no state.
        """
        return Stream(self._model, self._inputs, self._outputs)


def _is_count(number: object) -> bool:
    """Whether the engine can take a number as one of threads or pixels."""
    return isinstance(number, int | np.integer) and 1 <= int(number) <= _MOST


def checked_options(threads: object, size: object) -> None:
    """Refuse options that the engine could not take.

    Raises:
        SessionError: a number is out of range.
    """
    if not (threads is None or _is_count(threads)):
        raise SessionError(f"threads: must be an integer from 1 to {_MOST}, not {threads!r}")
    if not (size is None or (isinstance(size, tuple | list) and len(size) == 2 and all(map(_is_count, size)))):
        raise SessionError(f"size: must be (height, width), integers from 1 to {_MOST}, not {size!r}")


def _read_metadata(data: bytes) -> dict[str, str]:
    """The strings behind the header of a file that the engine has read."""
    (count,), at, found = struct.unpack_from("<H", data, 24), 26, {}
    for _ in range(count):
        texts = []
        for width in ("<H", "<I"):  # of the key's length, of the text's
            (length,) = struct.unpack_from(width, data, at)
            at += struct.calcsize(width) + length
            texts.append(data[at - length : at].decode())
        found[texts[0]] = texts[1]
    return found


def _has_islands(source: Source) -> bool:
    """Whether a source is a program with float islands, as a path, bytes or in memory."""
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source[:8]) == ISLANDS_MAGIC
    if isinstance(source, str | os.PathLike):
        with Path(source).open("rb") as stream:
            return stream.read(8) == ISLANDS_MAGIC
    return hasattr(source, "islands")


def read_source(source: Source) -> tuple[bytes, str]:
    """The bytes of a source, and what errors about them begin with."""
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source), ""
    if isinstance(source, str | os.PathLike):
        return Path(source).read_bytes(), f"{os.fspath(source)}: "
    if not isinstance(source, _HasBytes):
        raise SessionError(f"source: must be a path, bytes or a Program, not {source!r}")
    return source.to_bytes(), ""
