# SPDX-License-Identifier: Apache-2.0
"""What check_program and the op table refuse, sentence by sentence."""

import re
from collections.abc import Callable

import numpy as np
import pytest

from bitlens.core.grid import Grid
from bitlens.graph.check import check_program
from bitlens.graph.graph import Graph, GraphError, Node, State, Value
from bitlens.graph.ops import describe_outputs, window_attrs
from programs import Builder, chain_program, step_program


def _graph() -> Graph:
    return chain_program(0).graph.copy()


def _node(graph: Graph, name: str) -> Node:
    return next(node for node in graph if node.name == name)


def _set(name: str, **attrs: object) -> Callable[[Graph], None]:
    return lambda graph: _node(graph, name).attrs.update(attrs)


def _value(name: str, **changes: object) -> Callable[[Graph], None]:
    def change(graph: Graph) -> None:
        graph.values[name] = graph.value(name).with_(**changes)

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda g: g.outputs.clear(), "program: must have at least one input and one output"),
        (lambda g: g.outputs.append("x"), "program: output x must be born in the program"),
        (lambda g: g.outputs.append("conv9"), "program: output names must be unique, not conv9, conv9"),
        (
            lambda g: g.output_names.update(conv9="steps1"),
            "steps1: output must not have the name of another tensor",
        ),
        (
            _value("image", shape=(1 << 31, 7, 3)),
            "image: height and width must be at most 2147483647, not 2147483648",
        ),
        (_value("image", grid=None), "image: input must have a grid and a shape (H, W, C)"),
        (_value("image", multiples=(0, 1)), "image: multiples must be at least 1, not (0, 1)"),
        (_value("image", multiples=(3, 1)), "image: a fixed size must have multiple 1, not 3"),
        (_value("steps1", grid=None), "steps1: result must have a grid"),
        (_value("steps1", grid=Grid.unsigned(1)), "steps1: every value must be on its grid unsigned 1"),
        (_value("conv2", grid=Grid.span(0, 3)), "conv2: results in [-72, 93] must be on its grid unsigned 2"),
        (_value("conv2", shape=(1, 2, 5)), "conv2: shape must be (9, 7, 5), not (1, 2, 5)"),
        (_set("conv2", groups=2), "conv2: groups must divide 5 input and 5 output channels, not 2"),
        (_set("conv2", kernel=(1, 3)), "conv2: weights must be (O, (1, 3), 5), not (5, 3, 3, 5)"),
        (_set("conv2", stride=(0, 1)), "conv2: kernel, stride and dilation must be at least 1 and pads at least 0"),
        (_set("conv2", pads=(3, 1, 1, 1)), "conv2: pads must be smaller than the dilated kernel 3, not 3"),
        (
            _set("conv2", kernel=(12, 3), weights=np.ones((5, 12, 3, 5), int)),
            "conv2: the window of 12 must fit the padded size 11",
        ),
        (_set("conv2", bias=np.full(5, -(1 << 40))), "conv2: bias must fit 32 bits, not reach 1099511627776"),
        (
            _set("max_pool8", stride=(1 << 16, 1)),
            "max_pool8: kernel, stride, dilation and pads must be at most 65535, not 65536",
        ),
        (
            _set("max_pool8", kernel=(1 << 8, 1 << 8)),
            "max_pool8: kernel must have at most 32768 taps, not (256, 256)",
        ),
        (
            _set("max_pool8", kernel=(2, 2), dilation=(10, 1), stride=(1, 1), pads=(10, 0, 10, 0)),
            "max_pool8: every window must see a pixel, not padding alone, of 9 with pads (10, 10)",
        ),
        (_set("conv2", weight_grid=Grid.ternary(), weights=np.full((5, 3, 3, 5), 3)), "conv2: every weight must be on ternary"),
        (
            _set("conv2", weights=np.full((5, 3, 3, 5), 1 << 30), weight_grid=Grid.span(0, 1 << 30)),
            "conv2: sums must stay within 32 bits, not reach [0, 144955146240]; use fewer bits or channels",
        ),
        (_set("steps1", values=np.zeros((3, 4), int)), "steps1: values must have 1 or 5 rows, not 3"),
        (_set("rescale5", shift=np.full(5, 63)), "rescale5: shift must be 0 to 62, not 63"),
        (
            _set("rescale5", addend=np.full(5, 1 << 62)),
            "rescale5: m*x + b must stay below 2^62, not reach 4611686018434822349",
        ),
        (lambda g: _node(g, "add6").inputs.append("conv2"), "add6: add must have 2 to 2 operands, not 3"),
        (
            lambda g: _node(g, "add6").inputs.__setitem__(1, "image"),
            "add6: both operands must have one shape, not (9, 7, 5) and (9, 7, 3)",
        ),
        (
            lambda g: setattr(_node(g, "add6"), "op", "Relu"),
            "add6: op must be one of conv, steps, rescale, max_pool, sum_pool, add, concat, flatten, upsample, crop, select, depth_to_space, multiply, lookup, not Relu",
        ),
        (lambda g: _node(g, "conv2").attrs.pop("groups"), "conv2: conv must have the attribute groups"),
        (
            lambda g: _node(g, "add6").inputs.__setitem__(0, "nowhere"),
            "add6: operand nowhere must be born earlier, with a grid and a shape (H, W, C)",
        ),
    ],
)  # fmt: skip
def test_refusals(change: Callable[[Graph], None], sentence: str) -> None:
    graph = _graph()
    check_program(graph)
    change(graph)
    if sentence.startswith("rescale5: m*x"):  # the sum depends on the random multipliers
        sentence = sentence[: sentence.rindex(" ")]
        with pytest.raises(GraphError, match=f"^{re.escape(sentence)} [0-9]+$"):
            check_program(graph)
        return
    with pytest.raises(GraphError, match=f"^{re.escape(sentence)}$"):
        check_program(graph)


def test_concat_and_flatten_rules() -> None:
    b = Builder()
    x = b.input((None, None, 2), Grid.unsigned(1))
    y = b.op("max_pool", x, **window_attrs((2, 2)))
    z = b.input((4, 4, 2), Grid.unsigned(1), "other")
    with pytest.raises(
        GraphError, match=r"^c: all operands must have one height and width, not \[\(4, 4\), \(None, None\)\]$"
    ):
        describe_outputs(b.graph, Node("concat", "c", [z, y], ["c"]))
    with pytest.raises(GraphError, match="^f: height and width must be fixed$"):
        describe_outputs(b.graph, Node("flatten", "f", [y], ["f"]))


def test_odd_grids_survive_moves_only() -> None:
    b = Builder()
    x = b.input((4, 4, 2), Grid.bipolar())
    y = b.op("max_pool", x, grid=Grid.bipolar(), **window_attrs((2, 2)))
    b.program(y)
    z = b.op("add", x, x, grid=Grid(-2, 2, 2))
    with pytest.raises(GraphError, match=r"^add1: results in \[-2, 2\] must be on its grid -2..2 by 2$"):
        b.program(z)


def test_a_graph_can_be_copied_and_asked() -> None:
    graph = _graph()
    other = graph.copy()
    _node(other, "conv2").attrs["groups"] = 5
    assert _node(graph, "conv2").attrs["groups"] == 1
    assert graph.producer("conv2") is _node(graph, "conv2")
    assert graph.producer("image") is None
    assert [node.name for node in graph.consumers("steps1")] == ["conv2", "conv4"]
    assert graph.value("nothing") == Value("nothing")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            _set("lookup0", table=np.full((5, 6), 4, np.int32)),
            "lookup0: every number of the table must be on unsigned 2",
        ),
        (
            _set("lookup0", table_grid=Grid.unsigned(3)),
            "lookup0: results in [0, 7] must be on its grid unsigned 2",
        ),
        (
            _set("lookup0", table=np.zeros((4, 6), np.int32)),
            "lookup0: operand must be a row's number, 0 to 3, not 0..4",
        ),
        (
            _set("lookup0", table=np.zeros(6, np.int32)),
            "lookup0: operand must have 1 channel and the table rows, not 1 and (6,)",
        ),
        (
            _value("a", shape=(1, 2, 6)),
            "multiply1: the second operand must be of the first's shape (1, 1, 6) or one pixel, not (1, 2, 6)",
        ),
        (_value("multiply1", grid=Grid.unsigned(4)), "multiply1: results in [0, 21] must be on its grid unsigned 4"),
        (
            lambda g: g.states.append(State("c", "a_next", np.asarray(0))),
            "program: every state must have an input and an output of its own, not a_next, b_next, a_next",
        ),
        (
            lambda g: g.states.append(State("c", "c_next", np.asarray(0))),
            "program: must have an input that is no state",
        ),
        (
            lambda g: g.states.__setitem__(0, State("c", "a_next", np.asarray(0))),
            "c: a state must pair an input with an output, not a_next",
        ),
        (
            lambda g: g.states.__setitem__(0, State("a", "c_next", np.asarray(0))),
            "a: a state must pair an input with an output, not c_next",
        ),
        (
            lambda g: g.states.__setitem__(0, State("a", "a_next", np.zeros(6, np.int64))),
            "a: initial integers must be one or of shape (1, 1, 6), not (6,)",
        ),
        (
            lambda g: g.states.__setitem__(0, State("a", "a_next", np.asarray(8))),
            "a: every initial integer must be on its grid unsigned 3",
        ),
    ],
)
def test_steps_that_break_a_rule(change: Callable[[Graph], None], sentence: str) -> None:
    graph = step_program().graph.copy()
    change(graph)
    with pytest.raises(GraphError, match=rf"\A{re.escape(sentence)}\Z"):
        check_program(graph)
