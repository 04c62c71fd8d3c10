# SPDX-License-Identifier: Apache-2.0
"""Graphs as they are after a pass, moves beside ONNX Runtime, and refusals by their whole sentence."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto

import bitlens
from bitlens.graph.graph import Graph, Node
from bitlens.graph.spec import CompileError
from bitlens.passes.pipeline import ONE_FORM, QUANTIZED, TO_INTEGERS
from bitlens.qonnx.read import read
from onnx_runtime import evaluate
from qonnx_models import ModelBuilder

__all__ = ["after", "assert_moves", "assert_refused", "only"]


def after(model: onnx.ModelProto, last: str) -> Graph:
    """The model's graph after the first pass of this name."""
    graph = read(model)
    for rewrite in (*ONE_FORM, *QUANTIZED, *TO_INTEGERS):
        rewrite(graph)
        if rewrite.__name__ == last:
            return graph
    raise AssertionError(f"no pass {last}")


def only(graph: Graph, op: str) -> Node:
    """The only node of an operator."""
    (node,) = (node for node in graph if node.op == op)
    return node


def assert_refused(model: onnx.ModelProto, sentence: str, *, float_islands: bool = False) -> None:
    """Compiling fails with this sentence."""
    with pytest.raises(CompileError, match=rf"\A{re.escape(sentence)}\Z"):
        bitlens.compile(model, float_islands=float_islands)


def assert_moves(
    make: Callable[[ModelBuilder, str], str],
    ops: list[str] | None,
    opset: int = 17,
    shape: tuple[int, ...] = (2, 8, 6, 7),
) -> None:
    """A model of integers that only moves them is what ONNX Runtime makes of them as floats, with these operators if given."""
    b = ModelBuilder(("N", *shape[1:]), TensorProto.UINT8)
    program = bitlens.compile(b.model(make(b, b.op("Cast", "image", to=TensorProto.FLOAT)), opset=opset))
    assert ops is None or [node.op for node in program.graph] == ops
    twin = ModelBuilder(shape)
    model = twin.model(make(twin, "image"), opset=opset)
    del model.opset_import[1]
    x = np.random.default_rng(0).integers(0, 256, shape)
    wanted = evaluate(model, image=x.astype(np.float32))
    images = x.transpose(0, 2, 3, 1)
    (golden,) = program.run(images).values()
    (engine,) = bitlens.Session(program).run(images.astype(np.uint8)).values()
    assert np.array_equal(golden, wanted.transpose(0, 2, 3, 1))
    assert np.array_equal(engine, golden)
