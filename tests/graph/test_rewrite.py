# SPDX-License-Identifier: Apache-2.0
"""The moves of a rewrite on small graphs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlens.core.reference import BatchNorm, Clip
from bitlens.graph.graph import Graph, Node, Value
from bitlens.graph.rewrite import (
    bypass,
    drop_dead,
    fresh_node,
    fresh_tensor,
    insert_after,
    replace_tensor,
    same,
    sort_nodes,
)


def line(*names: str) -> Graph:
    """x -> a -> b -> ..., each node named after its tensor."""
    nodes = [Node("op", name, [before], [name]) for before, name in zip(("x", *names), names, strict=False)]
    return Graph(inputs=["x"], outputs=[names[-1]], nodes=nodes, values={name: Value(name) for name in ("x", *names)})


def wires(graph: Graph) -> list[tuple[str, list[str], list[str]]]:
    return [(node.name, node.inputs, node.outputs) for node in graph]


def test_fresh_names_avoid_every_tensor_and_node() -> None:
    graph = line("a", "b")
    graph.constants["c"] = np.zeros(1)
    graph.values["v"] = Value("v")
    assert [fresh_tensor(graph, wish) for wish in ("x", "a", "c", "v", "new")] == ["x.2", "a.2", "c.2", "v.2", "new"]
    graph.nodes[0].outputs.append("a.2")
    assert fresh_tensor(graph, "a") == "a.3"
    assert fresh_node(graph, "a") == "a.2"
    assert fresh_node(graph, "x") == "x"


def test_insert_after_a_place_or_at_the_front() -> None:
    graph = line("a", "b")
    first, second, third = (Node("op", name, [], []) for name in "123")
    insert_after(graph, graph.nodes[0], first, second)
    insert_after(graph, None, third)
    assert [node.name for node in graph] == ["3", "a", "1", "2", "b"]


def test_replaced_tensors_keep_the_name_users_see() -> None:
    graph = line("a", "b")
    graph.outputs = ["a", "b"]
    replace_tensor(graph, "a", "x")
    assert wires(graph) == [("a", ["x"], ["a"]), ("b", ["x"], ["b"])]
    assert graph.outputs == ["x", "b"]
    assert graph.output_names == {"x": "a"}
    replace_tensor(graph, "x", "y")
    assert graph.output_names == {"y": "a"}


def test_bypass_joins_reader_and_source() -> None:
    graph = line("a", "b", "c")
    bypass(graph, graph.nodes[1])
    assert wires(graph) == [("a", ["x"], ["a"]), ("c", ["a"], ["c"])]
    bypass(graph, graph.nodes[1])
    assert graph.outputs == ["a"]
    assert graph.output_names == {"a": "c"}


def test_dead_nodes_constants_and_values_go_inputs_stay() -> None:
    graph = line("a", "b")
    graph.inputs.append("unused")
    graph.values["unused"] = Value("unused")
    graph.constants = {"k": np.zeros(1), "dead": np.zeros(1)}
    graph.nodes[0].inputs += ["", "k"]
    graph.nodes.append(Node("op", "c", ["b"], ["c"]))
    graph.values["c"] = Value("c")
    drop_dead(graph)
    assert [node.name for node in graph] == ["a", "b"]
    assert list(graph.constants) == ["k"]
    assert sorted(graph.values) == ["a", "b", "unused", "x"]
    assert graph.inputs == ["x", "unused"]


@given(st.permutations(range(6)))
def test_sorting_finds_an_order_and_keeps_it(order: list[int]) -> None:
    graph = line("a", "b", "c", "d", "e", "f")
    wanted = wires(graph)
    graph.nodes = [graph.nodes[i] for i in order]
    sort_nodes(graph)
    assert wires(graph) == wanted


def test_sorting_keeps_the_order_of_equals_and_leaves_cycles() -> None:
    graph = Graph(inputs=["x"], nodes=[Node("op", name, ["x", ""], [name]) for name in "cab"])
    sort_nodes(graph)
    assert [node.name for node in graph] == ["c", "a", "b"]
    graph.nodes = [Node("op", "p", ["q"], ["p"]), Node("op", "q", ["p"], ["q"])]
    sort_nodes(graph)
    assert [node.name for node in graph] == ["p", "q"]


def norm(*gamma: float) -> BatchNorm:
    one = np.ones(len(gamma), np.float32)
    return BatchNorm(np.array(gamma, np.float32), one, one, one, 1e-5)


@pytest.mark.parametrize(
    ("a", "b", "alike"),
    [
        (1, 1, True),
        (1, 2, False),
        (1, 1.0, False),
        (np.zeros(2), np.zeros(2), True),
        (np.zeros(2), np.zeros(3), False),
        (np.zeros(2), np.zeros((1, 2)), False),
        (np.zeros(2), np.zeros(2, np.float32), False),
        ((1, np.ones(1)), (1, np.ones(1)), True),
        ((1, 2), (1, 2, 3), False),
        ({"k": np.ones(1)}, {"k": np.ones(1)}, True),
        ({"k": 1}, {"l": 1}, False),
        (norm(1, 2), norm(1, 2), True),
        (norm(1, 2), norm(1, 3), False),
        (Clip(0, 1), Clip(0, 1), True),
        (Clip(0, 1), norm(1), False),
        (None, None, True),
    ],
)
def test_same_compares_by_content(a: object, b: object, alike: bool) -> None:
    assert same(a, b) is alike
