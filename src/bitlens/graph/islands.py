# SPDX-License-Identifier: Apache-2.0
"""Programs with float islands: integer programs for the engine, and between them parts that run on the host in float.

What crosses from a program to an island are integers with their unit; what goes back are the codes of the island's
quantizers. Arrays at the borders are channels last: (N, H, W, C), or (N, 1, 1, C) for a vector.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.core.files import write_atomically
from bitlens.core.inputs import InputError, as_maps, check_integers, check_names, to_integers
from bitlens.graph.execute import Tensor, execute
from bitlens.graph.file import Program
from bitlens.graph.graph import Graph, GraphError, Value
from bitlens.graph.infer_shapes import infer_shapes

__all__ = ["Arrays", "Island", "IslandProgram", "Part", "in_model_order", "results"]

Arrays = dict[str, npt.NDArray[Any]]

_MOST_NUMBERS = 1 << 29  # of all tensors of an island for one image, as in verify_program


@dataclass(frozen=True)
class Island:
    """A part of a model that runs on the host, in reference arithmetic.

    Args:
        graph: at the imported stage. An input with a grid holds integers with a unit, one without real values; so do outputs.
        reasons: by the name of a layer, why no integers can say it. The others stand between such layers.
    """

    graph: Graph
    reasons: Mapping[str, str] = field(default_factory=dict)

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> Arrays:
        """Run a batch, image by image, so that no result depends on the batch.

        Args:
            inputs: channels last, by tensor name; int64, or float32 where the input is real.

        Returns:
            Channels last, by tensor name; int64 where the output has a grid, else float32.

        Raises:
            GraphError: an image takes too much memory, the batch leaves axis 0, or an output is not quantized where it
                should be.
            CompileError: a GraphError; operands do not fit each other, as in a file that somebody has changed.
        """
        count = max((len(array) for array in inputs.values()), default=0)
        moved = {name: in_model_order(self.graph.value(name), array) for name, array in inputs.items()}
        self._check_numbers(moved)
        images = []
        for i in range(max(count, 1)):
            image = {name: array[i : i + 1] if count else _nothing(array) for name, array in moved.items()}
            try:
                tensors = execute(self.graph, image, floats=True, keep=self.graph.outputs)
            except MemoryError:
                layer = self.graph.nodes[0].name
                raise GraphError(f"{layer}: island must fit memory; use smaller images, or repair the file") from None
            images.append([self._result(name, tensors[name]) for name in self.graph.outputs])
        whole = [np.concatenate(parts)[:count] for parts in zip(*images, strict=True)]
        return {name: _channels_last(array) for name, array in zip(self.graph.outputs, whole, strict=True)}

    def _check_numbers(self, inputs: Arrays) -> None:
        """Refuse images that no machine should be asked for, before anything is computed."""
        graph = self.graph
        known = {name: graph.value(name) for name in graph.inputs}
        known = {
            name: value.with_(shape=(*(value.shape or ())[:1], *inputs[name].shape[1:]))
            for name, value in known.items()
        }
        sized = Graph(graph.inputs, graph.outputs, graph.nodes, graph.constants, {**graph.values, **known})
        infer_shapes(sized)
        numbers = sum(prod(size or 1 for size in sized.value(node.outputs[0]).shape or ()) for node in sized.nodes)
        if numbers > _MOST_NUMBERS:
            raise GraphError(
                f"{graph.nodes[0].name}: all tensors of an island must have at most {_MOST_NUMBERS} numbers an image, "
                f"not {numbers}; use smaller images"
            )

    def _result(self, name: str, tensor: Tensor) -> npt.NDArray[Any]:
        if tensor.real.shape[:1] != (1,):
            shape = tensor.real.shape
            raise GraphError(
                f"{name}: the batch must stay on axis 0, not become {shape} for one image; reshape outside the model"
            )
        if self.graph.value(name).grid is None:
            return tensor.real.astype(np.float32)
        if tensor.integers is None:
            raise GraphError(f"{name}: output of the island must be quantized, not float")
        return tensor.integers


@dataclass(frozen=True)
class IslandProgram:
    """Integer programs and float islands, in order of execution.

    Args:
        inputs: in the model's order of axes; one without a grid is real, for islands alone.
        parts: each reads inputs and the results of parts in front of it, by tensor name.
        outputs: tensor by the name that users see.
        metadata: strings as in `Program`.
    """

    inputs: Sequence[Value]
    parts: Sequence[Program | Island]
    outputs: Mapping[str, str]
    metadata: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [value.name for value in self.inputs]
        born = {value.name: value.with_(shape=_crossing(value)) for value in self.inputs}
        if len({*names}) < len(names) or not self.parts or not self.outputs:
            raise GraphError("program: must have inputs of different names, parts and outputs")
        for part in self.parts:
            if part.graph.states:
                raise GraphError(f"{part.graph.states[0].input}: parts between float islands must have no states")
            for name in part.graph.inputs:
                _check_border(name, born.get(name), part)
            _check_names(part, born)
            born |= {key: value.with_(shape=_crossing(value, part)) for key, value in results(part).items()}
        if len(self.islands) == len(self.parts):
            raise GraphError(
                "program: must have a part of integers, not islands alone; run the model in float elsewhere"
            )
        missing = [tensor for tensor in self.outputs.values() if tensor not in born or tensor in names]
        if missing:
            raise GraphError(f"{missing[0]}: output must be born in a part")

    @property
    def islands(self) -> list[Island]:
        """The parts that run on the host."""
        return [part for part in self.parts if isinstance(part, Island)]

    def to_bytes(self) -> bytes:
        """The `.bitlens` file of this program.

        Raises:
            GraphError: it would be too large.
        """
        from bitlens.graph.island_file import encode_islands

        return encode_islands(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file; it appears whole or not at all.

        Raises:
            OSError: the disk is full or the folder cannot be written; nothing is left behind.
        """
        write_atomically(path, self.to_bytes())

    def described_outputs(self) -> dict[str, Value]:
        """What is known of each output, by the name users see; real where it has no grid."""
        born = {name: value for part in self.parts for name, value in results(part).items()}
        return {user: born[tensor] for user, tensor in self.outputs.items()}

    def entered(self, x: npt.ArrayLike | Mapping[str, npt.ArrayLike]) -> Arrays:
        """Check a user's arrays (N, H, W, C); integers for inputs that have a grid, else float32.

        Raises:
            InputError: an input is missing, or its shape or dtype does not fit.
        """
        values = {value.name: value for value in self.inputs}
        if not isinstance(x, Mapping):
            if len(values) != 1:
                raise InputError(f"inputs: must be given by name ({', '.join(values)}), not as one array")
            x = dict.fromkeys(values, x)
        check_names(values, x)
        arrays = {name: _entered(value, np.asarray(x[name])) for name, value in values.items()}
        counts = {name: len(array) for name, array in arrays.items()}
        if len({*counts.values()}) > 1:
            raise InputError(f"inputs: all must have one batch size, not {counts}")
        return arrays

    def steps(
        self,
        x: npt.ArrayLike | Mapping[str, npt.ArrayLike],
        run: Callable[[int, Arrays], Mapping[str, npt.NDArray[Any]]],
    ) -> Arrays:
        """Run the parts one after the other.

        Args:
            x: as `run` takes it.
            run: called with the place of an integer program among the parts and its inputs; gives its outputs, and any
                other tensors under their names.

        Returns:
            Every array that crossed a border, and what `run` gave besides.
        """
        arrays = self.entered(x)
        kept: Arrays = {}
        for place, part in enumerate(self.parts):
            inputs = {name: arrays[name] for name in part.graph.inputs}
            found = part.run(inputs) if isinstance(part, Island) else run(place, inputs)
            crossing = results(part)
            kept |= {name: array for name, array in found.items() if name not in crossing}
            arrays |= {name: found[name] for name in crossing}
        return kept | arrays  # a tensor inside a part may be named like one at a border

    def run(self, x: npt.ArrayLike | Mapping[str, npt.ArrayLike], *, real: bool = False, keep: bool = False) -> Arrays:
        """Run the integer programs by the golden interpreter and the islands on the host.

        Args:
            x: one array (N, H, W, C), or one per input name. Integers are taken as the integers of the input's grid; floats
                are real values, which an input with a grid quantizes.
            real: give real values where an output is integers.
            keep: return every tensor.

        Returns:
            By output name int64 (N, H, W, C), float32 for outputs of islands that no quantizer ends.
        """
        arrays = self.steps(x, lambda place, inputs: self._golden(place, inputs, keep))
        return self.finished(arrays, real=real) | ({name: array for name, array in arrays.items() if keep})

    def _golden(self, place: int, inputs: Arrays, keep: bool) -> Arrays:
        part = self.parts[place]
        assert isinstance(part, Program)
        return dict(part.run(inputs, keep=keep))

    def finished(self, arrays: Mapping[str, npt.NDArray[Any]], *, real: bool) -> Arrays:
        """The outputs among the arrays of `steps`, under the names that users see."""
        values = self.described_outputs()
        found = {user: arrays[tensor] for user, tensor in self.outputs.items()}
        if not real:
            return found
        return {
            user: array if values[user].grid is None else _real(array, values[user]) for user, array in found.items()
        }


Part = Program | Island


def results(part: Part) -> dict[str, Value]:
    """What is known of a part's outputs, by the names that other parts use."""
    graph = part.graph
    return {graph.output_names.get(name, name): graph.value(name) for name in graph.outputs}


def _check_names(part: Part, born: Mapping[str, Value]) -> None:
    """Refuse a name that two tensors would share: which of them a part reads could not be told."""
    names = [part.graph.output_names.get(name, name) for name in part.graph.outputs]
    twice = [name for i, name in enumerate(names) if name in born or name in names[:i]]
    if twice:
        raise GraphError(f"{twice[0]}: tensor must be born once, not twice; rename the output of a part")


def _check_border(name: str, value: Value | None, part: Part) -> None:
    if value is None:
        raise GraphError(f"{name}: input of a part must be born in front of it")
    wanted = part.graph.value(name)
    sizes, given = _crossing(wanted, part), value.shape or ()
    fits = len(sizes) == len(given) and all(None in (m, n) or m == n for m, n in zip(sizes, given, strict=True))
    if not fits:
        raise GraphError(f"{name}: shape at a border must be {sizes} as in the next part, not {given}")
    if (wanted.grid is None) != (value.grid is None):
        raise GraphError(f"{name}: a border must be integers on both sides, or real on both")
    if wanted.grid is None or value.grid is None:
        return
    if wanted.grid != value.grid:
        raise GraphError(f"{name}: integers must be on the grid {wanted.grid} of the next part, not {value.grid}")
    if not np.array_equal(wanted.scale.reshape(-1), value.scale.reshape(-1)):
        raise GraphError(f"{name}: unit of the integers must be the same on both sides of a border")
    if np.any(wanted.offset) or np.any(value.offset):
        raise GraphError(f"{name}: integers at a border must have no offset; write it as an addition behind them")


def _crossing(value: Value, part: Part | None = None) -> tuple[int | None, ...]:
    """Sizes of one image as it crosses a border, channels last; None where open."""
    if isinstance(part, Program):
        return value.shape or ()
    sizes = (value.shape or ())[1:]
    return (*sizes[1:], sizes[0]) if len(sizes) == 3 else (1, 1, *sizes) if len(sizes) == 1 else sizes


def _entered(value: Value, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    sizes = (value.shape or ())[1:]
    shape = (*sizes[1:], sizes[0]) if len(sizes) == 3 else (1, 1, *sizes)  # (C, H, W) -> (H, W, C)
    array = as_maps(array, shape)
    fits = array.ndim == 4 and all(size in (None, given) for size, given in zip(shape, array.shape[1:], strict=True))
    if not fits:
        text = ", ".join("any" if size is None else str(size) for size in shape)
        raise InputError(f"{value.name}: shape must be (N, {text}), not {array.shape}")
    if value.grid is None:
        if array.dtype.kind != "f":
            raise InputError(
                f"{value.name}: dtype must be a float type, not {array.dtype}: a float island reads real values"
            )
        if not np.isfinite(array).all():
            raise InputError(f"{value.name}: every number must be finite, not inf or nan")
        return array.astype(np.float32)
    array = to_integers(value.name, array, value.grid, value.scale, value.offset, value.rounding)
    check_integers(value.name, array, value.grid)
    return np.asarray(array, np.int64)


def in_model_order(value: Value, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Channels last -> the model's own order of axes."""
    rank = len(value.shape or ())
    if rank not in (2, 4) or array.ndim != 4:
        return array
    moved = array.transpose(0, 3, 1, 2)  # (N, H, W, C) -> (N, C, H, W)
    return np.asarray(moved if rank == 4 else moved.reshape(len(array), int(np.prod(moved.shape[1:]))))


def _channels_last(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The model's own order -> channels last; arrays of other ranks stay, for islands alone."""
    if array.ndim == 4:
        return np.ascontiguousarray(array.transpose(0, 2, 3, 1))
    return array[:, None, None] if array.ndim == 2 else array  # (N, C) -> (N, 1, 1, C)


def _nothing(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """One image of zeros, which tells the shapes of an empty batch."""
    return np.zeros((1, *array.shape[1:]), array.dtype)


def _real(array: npt.NDArray[Any], value: Value) -> npt.NDArray[np.float32]:
    return np.asarray(array.astype(np.float32) * value.scale + value.offset, np.float32)
