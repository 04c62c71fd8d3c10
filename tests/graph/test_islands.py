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
        f"{name}: integers must be on the grid unsigned 5 of the next part, not unsigned 4",
        parts=_changed(1, name, grid=Grid.unsigned(5)),
    )
    _refused(
        f"{name}: shape at a border must be (6, 6, 5) as in the next part, not (6, 6, 4)",
        parts=_changed(1, name, shape=(None, 5, 6, 6)),
    )
    _refused(
        "image: shape at a border must be (8, 8, 3) as in the next part, not (8, 9, 3)",
        inputs=[_program().inputs[0].with_(shape=(None, 3, 8, 9))],
    )
    _refused(
        f"{name}: shape at a border must be (1, 1, 4) as in the next part, not (6, 6, 4)",
        parts=_changed(1, name, shape=(None, 4)),
    )
    _refused(
        f"{name}: unit of the integers must be the same on both sides of a border",
        parts=_changed(1, name, scale=np.float32(3)),
    )


def test_integers_cross_without_an_offset() -> None:
    first, island, _ = _program().parts
    sentence = "integers at a border must have no offset; write it as an addition behind them"
    (born,), (name,) = first.graph.outputs, island.graph.inputs
    for place, tensor in ((0, born), (1, name)):
        _refused(f"{name}: {sentence}", parts=_changed(place, tensor, offset=np.float32(5)))
    _refused(f"image: {sentence}", inputs=[_program().inputs[0].with_(offset=np.float32(5))])
    assert replace(_program(), parts=_changed(2, "three", offset=np.float32(5)))  # nothing reads it


def test_tensors_are_born_once() -> None:
    first, island, last = _program().parts
    (name,) = island.graph.outputs
    sentence = f"{name}: tensor must be born once, not twice; rename the output of a part"
    _refused(sentence, parts=[first, island, island, last])
    _refused(sentence, inputs=[*_program().inputs, Value(name, (None, 4, 4, 4))])
    twice = island.graph.copy()
    twice.outputs *= 2
    _refused(sentence, parts=[first, Island(twice), last])


def test_a_part_is_of_integers() -> None:
    graph = Graph(["x"], ["y"], [Node("Relu", "relu", ["x"], ["y"])])
    graph.values |= {name: Value(name, (None, 3)) for name in "xy"}
    _refused(
        "program: must have a part of integers, not islands alone; run the model in float elsewhere",
        inputs=[graph.value("x")],
        parts=[Island(graph)],
        outputs={"y": "y"},
    )


def test_what_a_part_keeps_does_not_hide_what_crosses() -> None:
    program = _program()
    x = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3))
    (name,) = program.islands[0].graph.inputs
    (result,) = program.islands[0].graph.outputs

    def run(place: int, inputs: Any) -> Any:
        part = program.parts[place]
        assert isinstance(part, Program)
        return {**part.run(inputs), "image": x + 1, (name if place else result): x, "kept": x}

    found, wanted = program.steps(x, run), program.run(x, keep=True)
    assert found["kept"] is x
    for tensor in ("image", name, result, *program.outputs.values()):
        assert np.array_equal(found[tensor], wanted[tensor])


def test_images_that_no_machine_should_be_asked_for_are_refused() -> None:
    tensors = [f"t{i}" for i in range(6)]
    nodes = [Node("Relu", f"n{i}", tensors[i : i + 1], tensors[i + 1 : i + 2]) for i in range(5)]
    graph = Graph(tensors[:1], tensors[-1:], nodes)
    graph.values["t0"] = Value("t0", (None, 1, None, None))
    x = np.broadcast_to(np.float32(0), (1, 1 << 13, 1 << 14, 1))  # takes no memory
    sentence = (
        "n0: all tensors of an island must have at most 536870912 numbers an image, not 671088640; use smaller images"
    )
    with pytest.raises(GraphError, match=rf"\A{re.escape(sentence)}\Z"):
        Island(graph).run({"t0": x})


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
    graph = Graph(["x"], ["y"], [Node("Transpose", "turn", ["x"], ["y"], {"perm": (1, 0, 2, 3)})])
    graph.values["x"] = Value("x", (None, 2, 6, 6))
    sentence = "y: the batch must stay on axis 0, not become (2, 1, 6, 6) for one image; reshape outside the model"
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
