# SPDX-License-Identifier: Apache-2.0
"""What must hold at the borders of a program with float islands."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import bitlens
from bitlens.core.grid import Grid
from bitlens.core.inputs import InputError
from bitlens.graph.file import Program
from bitlens.graph.graph import Graph, GraphError, Node, State, Value
from bitlens.graph.islands import Island, IslandProgram
from island_models import ISLANDS


def _program() -> IslandProgram:
    program = bitlens.compile(ISLANDS["float middle"][0](), float_islands=True)
    assert isinstance(program, IslandProgram)
    return program


def _refused(sentence: str, **changes: Any) -> None:
    with pytest.raises(GraphError, match=rf"\A{re.escape(sentence)}\Z"):
        replace(_program(), **changes)


def _changed(place: int, tensor: str, **changes: Any) -> list[Any]:
    """The parts, one of them with another description of a tensor."""
    parts = [*_program().parts]
    graph = parts[place].graph.copy()
    graph.values[tensor] = graph.value(tensor).with_(**changes)
    parts[place] = Island(graph) if isinstance(parts[place], Island) else Program(graph)
    return parts


def test_tensors_are_born_in_front_of_the_parts_that_read_them() -> None:
    first, island, last = _program().parts
    _refused("one_quant_4: input of a part must be born in front of it", parts=[island, first, last])
    _refused("nothing: output must be born in a part", outputs={"y": "nothing"})
    _refused("image: output must be born in a part", outputs={"y": "image"})
    _refused("program: must have inputs of different names, parts and outputs", parts=[])
    _refused("program: must have inputs of different names, parts and outputs", inputs=[*_program().inputs] * 2)


def test_both_sides_of_a_border_agree() -> None:
    (_, island, _) = _program().parts
    name = island.graph.inputs[0]
    _refused(f"{name}: a border must be integers on both sides, or real on both", parts=_changed(1, name, grid=None))
    _refused(
        f"{name}: integers must be on the grid unsigned 2 of the next part, not unsigned 4",
        parts=_changed(1, name, grid=Grid.unsigned(2)),
    )
    _refused(
        f"{name}: unit of the integers must be the same on both sides of a border",
        parts=_changed(1, name, scale=np.float32(3)),
    )


def test_parts_have_no_states() -> None:
    parts = [*_program().parts]
    parts[0].graph.states.append(State("image", "y", np.zeros(())))
    _refused("image: parts between float islands must have no states", parts=parts)


def test_an_island_gives_codes_where_it_says_so() -> None:
    island = _program().islands[0]
    graph = island.graph.copy()
    graph.nodes, graph.outputs = graph.nodes[:-1], [graph.nodes[-2].output]
    graph.values[graph.outputs[0]] = graph.value(graph.outputs[0]).with_(grid=Grid.unsigned(4))
    x = {graph.inputs[0]: np.zeros((1, 6, 6, 4), np.int64)}
    with pytest.raises(GraphError, match=rf"\A{graph.outputs[0]}: output of the island must be quantized, not float\Z"):
        Island(graph).run(x)


def test_an_island_keeps_the_batch_on_axis_0() -> None:
    shape = {"sizes": np.array([-1, 8])}
    graph = Graph(["x"], ["y"], [Node("Reshape", "rows", ["x", "sizes"], ["y"], {"allowzero": 0})], shape)
    graph.values["x"] = Value("x", (None, 2, 6, 6))
    sentence = "y: the batch must stay on axis 0, not become (9, 8) for one image; reshape outside the model"
    with pytest.raises(GraphError, match=rf"\A{re.escape(sentence)}\Z"):
        Island(graph).run({"x": np.zeros((2, 6, 6, 2), np.float32)})


def test_inputs_are_checked() -> None:
    program = _program()
    for x, sentence in (
        (np.zeros((1, 8, 8, 4)), "image: shape must be (N, 8, 8, 3), not (1, 8, 8, 4)"),
        (np.full((1, 8, 8, 3), 256), "image: every integer must be on the grid unsigned 8, not 256"),
        ({"other": np.zeros((1, 8, 8, 3))}, "inputs: names must be image, not other"),
    ):
        with pytest.raises(InputError, match=rf"\A{re.escape(sentence)}\Z"):
            program.run(x)
