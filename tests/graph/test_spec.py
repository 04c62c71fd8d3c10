# SPDX-License-Identifier: Apache-2.0
"""What each stage refuses, sentence by sentence."""

import re
from collections.abc import Callable

import numpy as np
import pytest

from bitlens.core.grid import Grid
from bitlens.core.reference import Quantize, Relu
from bitlens.graph.graph import Graph, Node, Value
from bitlens.graph.spec import IMPORTED_OPS, REQUIRED, TAIL_OPS, CompileError, check_stage
from bitlens.qonnx.read import read
from programs import chain_program
from qonnx_models import ModelBuilder
from random_models import random_model


def imported() -> Graph:
    b = ModelBuilder(("N", 2, 4, 4))
    x = b.conv(b.image(), np.ones((2, 2, 1, 1)), name="conv")
    x = b.op("MaxPool", b.op("Relu", x, name="relu"), name="pool", kernel_shape=[2, 2])
    return read(b.model(x))


def node(graph: Graph, name: str) -> Node:
    return next(found for found in graph if found.name == name)


def attrs(name: str, **changes: object) -> Callable[[Graph], None]:
    return lambda graph: node(graph, name).attrs.update(changes)


@pytest.mark.parametrize("seed", range(20))
def test_random_models_are_legal_and_their_programs_too(seed: int) -> None:
    check_stage(read(random_model(seed, 4)), "imported")
    check_stage(chain_program(seed).graph, "integer")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda g: g.nodes.reverse(),
            "pool: operand must be born earlier, not relu_3; sort the nodes of the file",
        ),
        (lambda g: setattr(node(g, "relu"), "name", "conv"), "conv: node name must be unique"),
        (
            lambda g: node(g, "pool").outputs.__setitem__(0, "relu_3"),
            "pool: result must be born once, not twice: relu_3; repair the file",
        ),
        (
            lambda g: g.outputs.append("nowhere"),
            "nowhere: output must be born in a node, not missing; repair the file",
        ),
        (
            lambda g: setattr(node(g, "relu"), "op", "GridSample"),
            "relu: operator must be one that bitlens compiles, not GridSample; replace the operator, or cut the model before it",
        ),
        (lambda g: node(g, "relu").inputs.append("image"), "relu: Relu must have 1 inputs, not 2"),
        (lambda g: node(g, "conv").inputs.__delitem__(1), "conv: Conv must have 2 to 3 inputs, not 1"),
        (lambda g: node(g, "conv").inputs.__setitem__(0, ""), "conv: Conv must have 2 to 3 inputs, not 1"),
        (attrs("relu", alpha=0.5), "relu: attribute of Relu must be one of none, not alpha"),
        (
            attrs("conv", layout="NHWC"),
            "conv: attribute of Conv must be one of auto_pad, dilations, pads, strides, group, kernel_shape, not layout",
        ),
        (
            lambda g: node(g, "pool").attrs.pop("kernel_shape"),
            "pool: MaxPool must have the attribute kernel_shape; write it into the file",
        ),
        (
            lambda g: node(g, "image_quant").attrs.pop("signed"),
            "image_quant: Quant must have the attribute signed; write it into the file",
        ),
        (attrs("conv", group="two"), "conv: attribute group must be a whole number, not 'two'"),
        (attrs("conv", strides=(1.5, 1)), "conv: attribute strides must be whole numbers, not (1.5, 1)"),
        (attrs("image_quant", signed=0.5), "image_quant: attribute signed must be a whole number, not 0.5"),
    ],
)
def test_the_imported_stage_refuses(change: Callable[[Graph], object], sentence: str) -> None:
    graph = imported()
    change(graph)
    with pytest.raises(CompileError, match=rf"\A{re.escape(sentence)}\Z"):
        check_stage(graph, "imported")


def quantized(*nodes: Node, **grids: Grid | None) -> Graph:
    values = {name: Value(name, (None, 1, 1, 1), grid) for name, grid in grids.items()}
    return Graph(inputs=["x"], outputs=[nodes[-1].outputs[0]], nodes=[*nodes], values=values)


QUANTIZE = Quantize(np.float32(1), 0.0, 0, 3, "ROUND")
BITS = Grid.unsigned(2)


@pytest.mark.parametrize(
    "graph",
    [
        quantized(Node("chain", "c", ["x"], ["y"], {"chain": (Relu(), QUANTIZE)}), x=BITS, y=BITS),
        quantized(Node("chain", "c", ["x"], ["y"], {"chain": (Relu(),)}), x=BITS, y=None),
        quantized(Node("max_pool", "p", ["x"], ["y"]), x=None, y=None),
        quantized(Node("add", "a", ["x", "x"], ["y"]), x=BITS, y=BITS),
    ],
)
def test_the_quantized_stage_takes_chains_and_integer_operators(graph: Graph) -> None:
    check_stage(graph, "quantized")


ENDS = "c: result must be integers where the chain ends in a quantizer, else real"


@pytest.mark.parametrize(
    ("graph", "sentence"),
    [
        (quantized(Node("chain", "c", ["x"], ["y"], {"chain": (Relu(), QUANTIZE)}), x=BITS, y=None), ENDS),
        (quantized(Node("chain", "c", ["x"], ["y"], {"chain": (Relu(),)}), x=BITS, y=BITS), ENDS),
        (
            quantized(Node("add", "a", ["x", "x"], ["y"]), x=None, y=BITS),
            "a: input must be integers, not real values; put a quantizer before it",
        ),
        (
            quantized(Node("Mul", "m", ["x", "x"], ["y"]), x=BITS, y=BITS),
            "m: operator must have an integer form here, not be Mul of computed tensors; "
            "replace the operator, or cut the model before it",
        ),
    ],
)
def test_the_quantized_stage_refuses(graph: Graph, sentence: str) -> None:
    with pytest.raises(CompileError, match=rf"\A{re.escape(sentence)}\Z"):
        check_stage(graph, "quantized")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"shape": (1, 2, 5)}, "conv2: shape must be (9, 7, 5), not (1, 2, 5); this is a bug"),
        (
            {"grid": Grid.span(0, 3)},
            "conv2: result must be on its grid unsigned 2, not in [-72, 93]; this is a bug",
        ),
        ({"grid": None}, "conv2: result must be on its grid None, not in [-72, 93]; this is a bug"),
    ],
)
def test_the_integer_stage_refuses(changes: dict, sentence: str) -> None:
    graph = chain_program(0).graph.copy()
    graph.values["conv2"] = graph.value("conv2").with_(**changes)
    with pytest.raises(CompileError, match=rf"\A{re.escape(sentence)}\Z"):
        check_stage(graph, "integer")


def test_the_table_of_operators_is_whole() -> None:
    for name, op in IMPORTED_OPS.items():
        least, most = op.operands
        assert 1 <= least <= most, name
        assert all(
            value is REQUIRED or value is None or isinstance(value, (int, float, str)) for value in op.attrs.values()
        )
    assert set(TAIL_OPS) <= set(IMPORTED_OPS)
