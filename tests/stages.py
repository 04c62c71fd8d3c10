# SPDX-License-Identifier: Apache-2.0
"""Graphs as they are after a pass, and refusals by their whole sentence."""

from __future__ import annotations

import re

import onnx
import pytest

import bitlens
from bitlens.graph.graph import Graph, Node
from bitlens.graph.spec import CompileError
from bitlens.passes.pipeline import ONE_FORM, QUANTIZED, TO_INTEGERS
from bitlens.qonnx.read import read

__all__ = ["after", "assert_refused", "only"]


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


def assert_refused(model: onnx.ModelProto, sentence: str) -> None:
    """Compiling fails with this sentence."""
    with pytest.raises(CompileError, match=rf"\A{re.escape(sentence)}\Z"):
        bitlens.compile(model)
