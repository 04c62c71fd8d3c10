# SPDX-License-Identifier: Apache-2.0
"""The model as imported, in reference arithmetic == golden == engine on every instruction set."""

from __future__ import annotations

import numpy as np
import onnx

import bitlens
from bitlens.graph.execute import Tensor, execute
from bitlens.graph.file import Program
from bitlens.graph.graph import Graph
from bitlens.graph.infer_shapes import infer_shapes
from bitlens.graph.spec import TAIL_OPS
from bitlens.passes.fold_constants import fold_constants
from bitlens.passes.lift_sequences import lift_sequences
from bitlens.qonnx.read import read
from bitlens.runtime import Session
from processors import ISAS
from programs import random_inputs

__all__ = ["assert_engine", "assert_exact", "assert_output"]


def _channels_last(array: np.ndarray) -> np.ndarray:
    return array.transpose(0, 2, 3, 1) if array.ndim == 4 else array.reshape(len(array), 1, 1, -1)


def _before_tail(graph: Graph, output: str) -> str:
    node = graph.producer(output)
    while node is not None and node.op in TAIL_OPS:
        output = node.inputs[0]
        node = graph.producer(output)
    return output


def assert_output(program: Program, name: str, wanted: Tensor, found: np.ndarray) -> None:
    (tensor,) = (t for t in program.graph.outputs if program.graph.output_names.get(t, t) == name)
    value, node = program.graph.value(tensor), program.graph.producer(tensor)
    real = _channels_last(wanted.real)
    assert found.shape == real.shape
    assert value.grid is not None
    assert value.grid.contains(found)
    np.testing.assert_allclose(
        found * value.scale.astype(float) + value.offset, real, rtol=1e-4, atol=1e-4 * max(1e-30, np.abs(real).max())
    )
    integers = wanted.integers if wanted.sums is None else wanted.sums
    if integers is not None:
        assert node is not None
        bias = node.attrs.get("bias")
        np.testing.assert_array_equal(found if bias is None else found - bias, _channels_last(integers))


def assert_exact(model: onnx.ModelProto, seed: int = 0, count: int = 3) -> Program:
    """Compile, run all forms, compare every integer."""
    imported = read(model)
    lift_sequences(imported)
    infer_shapes(imported)
    fold_constants(imported)
    program = bitlens.compile(model)
    inputs = random_inputs(program, count, seed)
    real = {}
    for name, integers in inputs.items():
        value = imported.value(name)
        moved = integers.transpose(0, 3, 1, 2).reshape(count, *(value.shape or ())[1:])
        scale = program.graph.value(name).scale
        real[name] = moved if value.grid is not None else moved.astype(np.float32) * scale
    wanted = execute(imported, real)
    for name, found in program.run(inputs).items():
        assert_output(program, name, wanted[_before_tail(imported, name)], found)
    assert_engine(program, seed, count)
    return program


def assert_engine(program: Program, seed: int, count: int = 3) -> None:
    """Run golden, the file read back and the engine on every instruction set, compare every integer of the outputs."""
    inputs = random_inputs(program, count, seed)
    golden = program.run(inputs)
    loaded = Program.from_bytes(program.to_bytes())
    for name, found in loaded.run(inputs).items():
        np.testing.assert_array_equal(found, golden[name])
    for isa in ISAS:
        for threads in (1, 2):
            for name, found in Session(program, threads=threads, isa=isa).run(inputs).items():
                np.testing.assert_array_equal(found, golden[name], err_msg=f"{isa} {name}")
