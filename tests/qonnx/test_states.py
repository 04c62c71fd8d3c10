# SPDX-License-Identifier: Apache-2.0
import json
import re

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import bitlens
from bitlens.graph.spec import CompileError
from bitlens.qonnx.read import read
from bitlens.qonnx.states import STATES_KEY, attach_states, write_states
from qonnx_models import ModelBuilder


def sum_model(*states: str) -> onnx.ModelProto:
    """Clipped sums of an image and of other inputs, each its own next output: image, h -> h_next."""
    b = ModelBuilder(("N", 2))
    x = b.quant("image", 0.25, 4)
    for name in states or ("h",):
        b.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]))
        x = b.quant(b.op("Add", x, b.quant(name, 0.25, 4)), 0.25, 4)
        b.nodes[-1].output[0] = x = f"{name}_next"
    return b.model(*(f"{name}_next" for name in states or ("h",)), b.op("Add", x, x))


def told(*entries: object) -> onnx.ModelProto:
    model = sum_model("h", "c")
    helper.set_model_props(model, {STATES_KEY: json.dumps(entries)})
    return model


def test_what_is_written_is_read() -> None:
    model = sum_model("h", "c")
    write_states(model, {"h": "h_next", "c": ("c_next", [0.25, 1.5])})
    assert [entry.key for entry in model.metadata_props] == [STATES_KEY]
    assert json.loads(model.metadata_props[0].value) == [
        {"input": "h", "output": "h_next", "initial": 0.0},
        {"input": "c", "output": "c_next", "initial": [0.25, 1.5]},
    ]
    for graph in (read(model), read(onnx.load_from_string(model.SerializeToString()))):
        assert [(state.input, state.output) for state in graph.states] == [("h", "h_next"), ("c", "c_next")]
        assert [state.initial.tolist() for state in graph.states] == [0.0, [0.25, 1.5]]


def test_initial_values_may_be_left_out() -> None:
    (state,) = read(told({"input": "h", "output": "h_next"})).states
    assert state.initial.tolist() == 0.0


def test_no_states_are_none() -> None:
    assert read(sum_model()).states == []
    assert read(told()).states == []


def test_states_given_stand_beside_those_told() -> None:
    graph = read(told({"input": "h", "output": "h_next", "initial": 0.5}))
    attach_states(graph, {"c": "c_next"})
    assert [(s.input, s.output, float(s.initial)) for s in graph.states] == [("h", "h_next", 0.5), ("c", "c_next", 0.0)]
    attach_states(graph, {"h": "h_next"})  # keeps its initial value
    assert {s.input: float(s.initial) for s in graph.states} == {"h": 0.5, "c": 0.0}
    attach_states(graph, {"c": ("h_next", 0.25)})  # takes another's output
    assert [(s.input, s.output, float(s.initial)) for s in graph.states] == [("c", "h_next", 0.25)]


@pytest.mark.parametrize("given", [5, ("c_next",), ("c_next", 0, 0), (1, 0.0)])
def test_states_of_another_kind_are_refused(given: object) -> None:
    sentence = f"h: a state must be told by its output, or by (output, initial values), not {given!r}"
    with pytest.raises(CompileError, match=rf"\A{re.escape(sentence)}\Z"):
        attach_states(read(sum_model()), {"h": given})  # type: ignore[dict-item]
    with pytest.raises(CompileError, match=r"\Astates: must be outputs by input, not \['h'\]\Z"):
        attach_states(read(sum_model()), ["h"])  # type: ignore[arg-type]


def test_a_program_remembers() -> None:
    model = sum_model()
    write_states(model, {"h": ("h_next", [0.5, 0.0])})
    stream = bitlens.Session(bitlens.compile(model)).stream()
    x = np.array([1, 2, 0, 1, 3, 3]).reshape(3, 1, 1, 2)
    total = next(iter(stream.run(x, real=True).values()))
    np.testing.assert_array_equal(total[:, 0, 0] / 2, [[0.75, 0.5], [0.75, 0.75], [1.5, 1.5]])


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        (
            [{"input": "x", "output": "h_next"}],
            "x: a state's input must be one of image, h, c, not x",
        ),
        (
            [{"input": "h", "output": "y"}],
            "h: a state's output must be one of h_next, c_next, add_7, not y",
        ),
        (
            [{"input": "h", "output": "h_next"}, {"input": "c", "output": "h_next"}],
            "c: a state must have an output of its own, not h_next, which another has",
        ),
        (
            [{"input": "h", "output": "h_next"}, {"input": "h", "output": "c_next"}],
            "h: a state must have an input of its own, not one that another has",
        ),
        (
            [{"input": "h", "output": "h_next", "initial": float("nan")}],
            "h: initial values must be finite numbers (C, H, W), not nan",
        ),
        (
            [{"input": "h", "output": "h_next", "initial": [0, -1e39]}],
            "h: initial values must be finite numbers (C, H, W), not -inf",
        ),
        (
            [{"input": "h", "output": "h_next", "initial": 10**400}],
            f"h: initial values must be finite numbers (C, H, W), not 1{'0' * 59}",
        ),
        (
            [{"input": "h", "output": "h_next", "initial": None}],
            "h: initial values must be finite numbers (C, H, W), not nan",
        ),
        (
            [{"input": "h", "output": "h_next", "initial": {"h": 1}}],
            "h: initial values must be finite numbers (C, H, W), not {'h': 1}",
        ),
        (
            [{"input": "h", "output": "h_next", "initial": [0, [1]]}],
            "h: initial values must be finite numbers (C, H, W), not [0, [1]]",
        ),
        (
            [{"input": "h", "output": "h_next", "initial": [[[[0]]]]}],
            "h: initial values must be finite numbers (C, H, W), not of shape (1, 1, 1, 1)",
        ),
        (
            [{"input": name, "output": name + "_next"} for name in ("h", "c")]
            + [{"input": "image", "output": "add_7"}],
            "image: model must have an input that is no state",
        ),
    ],
)
def test_pairs_that_do_not_fit_are_refused(entries: list[object], sentence: str) -> None:
    with pytest.raises(CompileError, match=rf"\A{re.escape(sentence)}\Z"):
        read(told(*entries))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "3",
        "null",
        '"h"',
        "[3]",
        '["h"]',
        "[null]",
        "[[]]",
        '{"input": "h", "output": "h_next"}',
        '[{"input": "h"}]',
        '[{"output": "h_next"}]',
        "[" * 100_000,
        "\x00",
    ],
    ids=lambda text: text[:50],
)
def test_broken_metadata_are_refused(text: str) -> None:
    model = sum_model()
    helper.set_model_props(model, {STATES_KEY: text})
    sentence = f'metadata bitlens.states: must be a list of {{"input", "output", "initial"}} in JSON, not {text[:60]!r}'
    with pytest.raises(CompileError, match=rf"\A{re.escape(sentence)}\Z"):
        read(model)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("much", "h: initial values must be finite numbers (C, H, W), not 'much'"),
        (np.full((2, 3, 4), np.inf), "h: initial values must be finite numbers (C, H, W), not inf"),
    ],
)
def test_initial_values_given_are_looked_at(given: object, sentence: str) -> None:
    with pytest.raises(CompileError, match=rf"\A{re.escape(sentence)}\Z"):
        attach_states(read(sum_model()), {"h": ("h_next", given)})  # type: ignore[dict-item]
