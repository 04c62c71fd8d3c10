# SPDX-License-Identifier: Apache-2.0
"""Run the model as it came in, in reference arithmetic, beside the integer program: every integer must be the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
import numpy.typing as npt

from bitlens.core.inputs import to_integers
from bitlens.graph.execute import Tensor, execute
from bitlens.graph.graph import Graph, GraphError, Value
from bitlens.graph.interpret import interpret
from bitlens.graph.spec import CompileError

__all__ = ["CLOSE", "SIZES", "as_imported", "verify_program"]

IntArray = npt.NDArray[np.int64]

_IMAGES = 2
_FEW_NUMBERS = 1 << 26  # with more, one image must do
_MOST_NUMBERS = 1 << 29  # 8 bytes each
SIZES = (16, 24, 32, 48, 64, 96, 128, 224)  # tried for symbolic heights and widths
_NEAREST = ("NEAREST", "ROUND", "HALF_UP", "HALF_DOWN")
CLOSE = 1e-4  # relative, of real outputs


def verify_program(imported: Graph, program: Graph, names: Mapping[str, str], outputs: Sequence[str]) -> dict[str, int]:
    """Compare on random images.

    Args:
        imported: the model as it was read, shapes inferred.
        program: the integer graph made of it.
        names: program tensor by imported tensor, for those that hold the same integers.
        outputs: imported tensor of each of the program's outputs.

    Returns:
        How many integers were compared, by program tensor.

    Raises:
        CompileError: an integer differs: a fault of the compiler, which therefore refuses.
    """
    inputs = _sample_inputs(program)
    wanted = execute(
        imported,
        {name: as_imported(program.value(name), imported, array) for name, array in inputs.items()},
        keep={*names, *outputs},
    )
    found = {**interpret(program, inputs, keep=True)}
    compared: dict[str, int] = {}
    found |= {name: found[program.output_names.get(name, name)] for name in program.outputs}
    for tensor, name in (*names.items(), *zip(outputs, program.outputs, strict=True)):
        if tensor in wanted and name in found:
            compared[name] = _compare_tensor(program, name, wanted[tensor], found[name])
    for tensor, name in zip(outputs, program.outputs, strict=True):
        _compare_real(program.value(name), wanted[tensor], found[name])
    return compared


def _sample_inputs(program: Graph) -> dict[str, IntArray]:
    numbers = sum(prod(size or 1 for size in program.value(node.output).shape or ()) for node in program)
    if numbers > _MOST_NUMBERS:
        raise CompileError(
            f"{program.inputs[0]}: all tensors of an image must have at most {_MOST_NUMBERS} numbers, not {numbers}; "
            "use smaller images, or export with a symbolic height and width"
        )
    images = _IMAGES if numbers <= _FEW_NUMBERS else 1
    symbolic = any(None in (program.value(name).shape or ()) for name in program.inputs)
    for size in SIZES:
        rng = np.random.default_rng(0)
        arrays = {}
        for name in program.inputs:
            value = program.value(name)
            assert value.grid is not None
            height, width, channels = value.shape or ()
            large = [-(-size // multiple) * multiple for multiple in value.multiples]
            shape = (images, height or large[0], width or large[1], channels or 1)
            arrays[name] = value.grid.decode(rng.integers(0, value.grid.levels, shape))
        if not symbolic:
            return arrays
        try:
            interpret(program, {name: array[:1] for name, array in arrays.items()})
        except (GraphError, ValueError):  # does not fit the net
            continue
        return arrays
    raise CompileError(
        f"{program.inputs[0]}: height and width must fit the net at one of {SIZES}; export with a fixed size"
    )


def as_imported(value: Value, imported: Graph, integers: IntArray) -> npt.NDArray[np.generic]:
    """(N, H, W, C) integers as the model takes them: real values in its own order of axes."""
    rank = len(imported.value(value.name).shape or ())
    moved = integers.transpose(0, 3, 1, 2) if rank == 4 else integers.reshape((len(integers), -1)[:rank])
    if imported.value(value.name).grid is not None:
        return np.asarray(moved)
    with np.errstate(over="ignore"):  # infinite values are refused by name where they meet the quantizer
        return np.asarray(_real(value, integers).transpose(0, 3, 1, 2).reshape(moved.shape))


def _real(value: Value, integers: IntArray) -> npt.NDArray[np.float32]:
    """Real values (N, H, W, C) that the input's quantizer turns into these integers, however the model computes it.

    They are multiples of the scale, or half more or less where it rounds to one side.
    """
    assert value.grid is not None
    found = np.zeros(integers.shape, np.float32)
    wrong = np.ones(integers.shape, bool)
    for shift in (0.0, 0.5, -0.5) if value.rounding in _NEAREST else (0.5, -0.5, 0.0):
        found = np.where(wrong, (integers + shift).astype(np.float32) * value.scale + value.offset, found)
        if not np.isfinite(found).all():
            return found  # refused by name where it meets the quantizer
        wrong = to_integers(value.name, found, value.grid, value.scale, value.offset, value.rounding) != integers
    return found


def _compare_tensor(program: Graph, name: str, wanted: Tensor, found: IntArray) -> int:
    """Compare the integers of a tensor, if the model has any there; return how many."""
    node = program.producer(name)
    if node is not None and node.op == "conv" and wanted.sums is not None:
        sums, bias = _channels_last(wanted.sums), node.attrs["bias"]
        ours = found if bias is None else found - bias
        if sums.shape == ours.shape:
            turned = np.all(sums == -ours, axis=(0, 1, 2))  # channels whose sign `sink_max_pools` has turned
            ours = np.where(turned, -ours, ours)
        return _compare(name, sums, ours)
    return 0 if wanted.integers is None else _compare(name, _channels_last(wanted.integers), found)


def _channels_last(array: IntArray) -> IntArray:
    return array.transpose(0, 2, 3, 1) if array.ndim == 4 else array.reshape(len(array), 1, 1, -1)


def _compare(name: str, wanted: IntArray, found: IntArray) -> int:
    if wanted.shape != found.shape and wanted.shape[1:3] == (1, 1) and wanted.size == found.size:
        found = found.transpose(0, 3, 1, 2).reshape(
            wanted.shape
        )  # the model flattens before its quantizer, we after it
    if wanted.shape != found.shape:
        raise CompileError(f"{name}: shape must be {wanted.shape}, not {found.shape}; this is a bug")
    wrong = np.argwhere(wanted != found)
    if len(wrong):
        at = tuple(int(i) for i in wrong[0])
        raise CompileError(
            f"{name}: integers must equal the model's, not differ in {len(wrong)} of {wanted.size}; this is a bug "
            f"(first at {at}: {wanted[at]} and {found[at]})"
        )
    return wanted.size


def _compare_real(value: Value, wanted: Tensor, found: IntArray) -> None:
    """Compare an output's real values, whose last scale and offset we apply in another order."""
    real = _channels_last(wanted.real)
    ours = found.astype(np.float64) * value.scale + value.offset
    if not np.all(np.isfinite(real)):
        raise CompileError(f"{value.name}: output must be finite, not inf or nan; repair the scales of the model")
    if real.shape != ours.shape or np.any(np.abs(ours - real) > CLOSE * np.abs(real).max(initial=0)):
        raise CompileError(f"{value.name}: output must equal the model's, not differ; this is a bug")
