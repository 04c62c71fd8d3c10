# SPDX-License-Identifier: Apache-2.0
"""A session of a program with float islands: integer parts in the engine, the islands on the host between them.

The islands run in numpy, image by image, in the reference arithmetic of the compiler (float64 sums, rounded once to float32).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.core.inputs import InputError
from bitlens.graph.cursor import FormatError
from bitlens.graph.file import Program
from bitlens.graph.graph import GraphError, Value
from bitlens.graph.island_file import decode_islands
from bitlens.graph.islands import Arrays, Island, IslandProgram
from bitlens.graph.shape_contents import check_numbers
from bitlens.runtime.session import Layer, Session, Source, checked_options, read_source
from bitlens.runtime.stream import Stream
from bitlens.runtime.tensor import SessionError, Tensor

__all__ = ["IslandSession"]


class IslandSession(Session):
    """What `Session` opens for a program with float islands; use it as any other session.

    A first image of zeros plans every part for its size. An input or output without a grid holds real values: such an input
    takes float arrays alone, such an output gives float32 whatever `real` says.
    """

    def __init__(
        self,
        source: Source,
        threads: int | None = None,
        isa: str | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        checked_options(threads, size)
        self._program = _read(source)
        self._plan = partial(Session, threads=threads, isa=isa)
        self._sessions: dict[int, Session] = {}
        inputs = {value.name: _tensor(value, _pixels(value, size)) for value in self._program.inputs}
        images = {name: _image(tensor) for name, tensor in inputs.items()}
        try:
            arrays = self._program.steps(images, self._planned)
        except GraphError as error:
            raise SessionError(str(error)) from None
        self._shapes = {name: array.shape for name, array in arrays.items()}
        values = self._program.described_outputs()
        self._inputs = inputs
        self._outputs = {
            user: _tensor(values[user].with_(name=user), self._shapes[tensor][1:])
            for user, tensor in self._program.outputs.items()
        }

    def _planned(self, place: int, inputs: Arrays) -> Mapping[str, npt.NDArray[Any]]:
        part = self._program.parts[place]
        assert isinstance(part, Program)
        values = {name: part.graph.value(name) for name in part.graph.inputs}
        sizes = {inputs[name].shape[1:3] for name, value in values.items() if None in (value.shape or ())}
        if len(sizes) > 1:
            raise SessionError(
                f"{next(iter(values))}: maps of an integer part must have one size, not {sorted(sizes)}; "
                "export the model with a fixed size"
            )
        self._sessions[place] = self._plan(part, size=next(iter(sizes), None))
        return self._sessions[place].run(inputs)

    @property
    def metadata(self) -> dict[str, str]:
        """What the file says of itself, as of any session."""
        return {**self._program.metadata}

    @property
    def layers(self) -> list[Layer]:
        """What runs, in order; layers of islands have the kernel "host" and the storage "float"."""
        found: list[Layer] = []
        for place, part in enumerate(self._program.parts):
            found += self._sessions[place].layers if place in self._sessions else _host_layers(part)
        return found

    @property
    def threads(self) -> int:
        """How many threads integer parts use."""
        return max(session.threads for session in self._sessions.values())

    @property
    def arena_bytes(self) -> int:
        """Memory of one image's run in the engine; islands take theirs from numpy."""
        return sum(session.arena_bytes for session in self._sessions.values())

    def run(
        self, x: npt.ArrayLike | Mapping[str, npt.ArrayLike], *, real: bool = False, keep: bool = False
    ) -> dict[str, npt.NDArray[Any]]:
        """Run a batch; see `Session.run`.

        Args:
            x: as there; float arrays alone for an input that an island reads.
            real: as there, for outputs that have a grid.
            keep: also what goes from one part to the next, and what the integer parts keep.
        """
        try:
            for name, array in self._program.entered(x).items():
                if array.shape[1:] != self._inputs[name].shape:
                    shape = ", ".join(map(str, self._inputs[name].shape))
                    raise SessionError(f"{name}: shape must be (N, {shape}), not {array.shape}")
            arrays = self._program.steps(x, lambda place, inputs: self._sessions[place].run(inputs, keep=keep))
        except (InputError, GraphError) as error:
            raise SessionError(str(error)) from None
        found = self._program.finished(arrays, real=real)
        kept = arrays if keep else {}
        return {name: _narrowed(array) for name, array in {**kept, **found}.items()}

    def stream(self) -> Stream:
        """Refuse: programs with float islands have no state.

        Raises:
            SessionError: always.
        """
        raise SessionError("stream: program must have states, not none; run it image by image")


def _read(source: Source) -> IslandProgram:
    if isinstance(source, IslandProgram):
        return source
    data, place = read_source(source)
    try:
        return decode_islands(data)
    except FormatError as error:
        raise SessionError(f"{place}{str(error).removeprefix('file: ') if place else error}") from None


def _pixels(value: Value, size: tuple[int, int] | None) -> tuple[int, ...]:
    """(H, W, C) of an input."""
    channels, *map_size = (value.shape or ())[1:]
    if len(map_size) != 2:
        return (1, 1, channels or 1)
    if size is None and None in map_size:
        raise SessionError(f"{value.name}: height and width must be given (size), not left open")
    height, width = (given or wanted for given, wanted in zip(map_size, size or (0, 0), strict=True))
    return (height, width, channels or 1)


def _tensor(value: Value, shape: tuple[int, ...]) -> Tensor:
    scale, offset = (np.asarray(array, np.float32).reshape(-1) for array in (value.scale, value.offset))
    return Tensor(value.name, (shape[0], shape[1], shape[2]), value.grid, scale, offset, value.rounding)


def _image(tensor: Tensor) -> npt.NDArray[Any]:
    """One image that every input takes.

    Raises:
        SessionError: it is larger than any machine should be asked for.
    """
    try:
        check_numbers(tensor.shape)
    except ValueError as error:
        raise SessionError(f"{tensor.name}: {error}") from None
    if tensor.grid is None:
        return np.zeros((1, *tensor.shape), np.float32)
    return np.full((1, *tensor.shape), tensor.grid.lo, np.int64)


def _host_layers(part: Any) -> list[Layer]:
    assert isinstance(part, Island)
    graph = part.graph
    return [
        Layer(node.name, node.op, node.outputs[0], "host", "float", *(_hwc(graph.value(name)) for name in ends))
        for node in graph.nodes
        for ends in [(node.inputs[0], node.outputs[0])]
    ]


def _hwc(value: Value) -> tuple[int, int, int]:
    """(height, width, channels) of a tensor as far as they are known, 0 where they are not."""
    sizes = [size or 0 for size in (value.shape or ())[1:]]
    channels, height, width = [*sizes, 1, 1, 1][:3]
    return (height, width, channels)


def _narrowed(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return array.astype(np.int32) if array.dtype == np.int64 else array
