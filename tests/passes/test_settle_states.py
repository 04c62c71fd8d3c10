# SPDX-License-Identifier: Apache-2.0
import re

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import bitlens
from bitlens.graph.file import Program
from bitlens.graph.spec import CompileError
from processors import ISAS
from qonnx_models import ModelBuilder

SHAPE = (2, 3, 4)  # (C, H, W)


def step(
    before: dict[str, object] | None = None,
    after: dict[str, object] | None = None,
    shape: tuple[int | str, ...] = SHAPE,
    tail: str = "",
) -> onnx.ModelProto:
    """A clipped sum: image, h -> h_next. Arguments of the quantizers of h and h_next."""
    usual: dict[str, object] = {"scale": 0.25, "bits": 4, "signed": 1}
    b = ModelBuilder(("N", *shape))
    b.inputs.append(helper.make_tensor_value_info("h", TensorProto.FLOAT, ["N", *shape]))
    h = b.quant("h", **(usual | (before or {})))  # type: ignore[arg-type]
    total = b.op("Add", b.quant("image", 0.25, 4), h)
    following = b.quant(total, **(usual | (after or {})))  # type: ignore[arg-type]
    if tail:
        following = b.op(tail, following)
    b.nodes[-1].output[0] = "h_next"
    return b.model("h_next", b.op("MaxPool", total, kernel_shape=[1, 1]))


def compiled(model: onnx.ModelProto, initial: object = 0.0) -> Program:
    return bitlens.compile(model, states={"h": ("h_next", initial)})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("initial", "integers"),
    [
        (0.5, 2),
        (-0.25, -1),
        (0.3, 1),  # as its quantizer rounds
        (0.375, 2),  # a tie, to even
        (99.0, 7),  # and clips
    ],
)
def test_one_number_is_quantized_by_the_inputs_quantizer(initial: float, integers: int) -> None:
    program = compiled(step(), initial)
    assert program.graph.states[0].initial.tolist() == integers
    again = Program.from_bytes(program.to_bytes())
    assert again.graph.states[0].initial.tolist() == integers


@pytest.mark.parametrize("shape", [(2,), (2, 1, 1), (1, 3, 1), (2, 3, 4), (1, 1, 1)])
def test_values_broadcast_against_the_map(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).integers(-8, 8, shape) * 0.25
    program = compiled(step(), values)
    wanted = np.broadcast_to(values.reshape(shape if len(shape) == 3 else (2, 1, 1)), SHAPE).transpose(1, 2, 0) * 4
    np.testing.assert_array_equal(program.graph.states[0].initial, wanted)
    again = Program.from_bytes(program.to_bytes())
    np.testing.assert_array_equal(again.graph.states[0].initial, wanted)
    stream = bitlens.Session(program).stream()
    np.testing.assert_array_equal(stream.state["h"], wanted)


@pytest.mark.parametrize("initial", [0.5, [0.5, 1.0]])
def test_units_of_channels_make_integers_of_their_own(initial: object) -> None:
    scales = {"scale": np.array([0.25, 0.5]).reshape(1, 2, 1, 1)}
    b = ModelBuilder(("N", *SHAPE))
    b.inputs.append(helper.make_tensor_value_info("h", TensorProto.FLOAT, ["N", *SHAPE]))
    weights = b.weights(np.ones((2, 1, 1, 1)))
    total = b.op("Conv", b.quant("h", bits=4, signed=1, **scales), weights, group=2)
    x = b.quant(b.op("Conv", b.quant("image", 0.25, 4), weights, group=2), 0.25, 4)
    b.quant(total, bits=4, signed=1, **scales)
    b.nodes[-1].output[0] = "h_next"
    program = Program.from_bytes(compiled(b.model("h_next", x), initial).to_bytes())
    wanted = np.broadcast_to(np.broadcast_to(initial, 2) / [0.25, 0.5], (3, 4, 2))
    np.testing.assert_array_equal(program.graph.states[0].initial, wanted)
    _, end = program.run_sequence(np.zeros((2, 3, 4, 2), np.int64))
    for isa in ISAS:
        stream = bitlens.Session(program, isa=isa).stream()
        stream.run(np.zeros((2, 3, 4, 2), np.uint8))
        np.testing.assert_array_equal(stream.state["h"], end["h"])


def test_an_output_may_hold_fewer_integers() -> None:
    program = compiled(step(after={"bits": 3}))
    assert program.graph.states[0].output == "h_next"


def test_a_state_may_stay_as_it_is() -> None:
    b = ModelBuilder(("N", 2))
    b.inputs.append(helper.make_tensor_value_info("h", TensorProto.FLOAT, ["N", 2]))
    h = b.quant("h", 0.25, 4)
    total = b.op("Add", b.quant("image", 0.25, 4), h)
    b.quant(h, 0.25, 4)
    b.nodes[-1].output[0] = "h_next"
    program = compiled(b.model("h_next", total), 0.75)
    stream = bitlens.Session(program).stream()
    x = np.arange(4).reshape(2, 1, 1, 2)
    np.testing.assert_array_equal(next(iter(stream.run(x).values())), x + 3)
    np.testing.assert_array_equal(stream.state["h"], np.full((1, 1, 2), 3))


@pytest.mark.parametrize(
    ("model", "initial", "sentence"),
    [
        (
            step(after={"bits": 5}),
            0,
            "h: a state must be quantized by one quantizer as input and as output h_next, not as signed 4 with scale 0.25 "
            "and signed 5 with scale 0.25; put the same quantizer on both",
        ),
        (
            step(after={"scale": 0.5}),
            0,
            "h: a state must be quantized by one quantizer as input and as output h_next, not as signed 4 with scale 0.25 "
            "and signed 4 with scale 0.5; put the same quantizer on both",
        ),
        (
            step(after={"signed": 0}),
            0,
            "h: a state must be quantized by one quantizer as input and as output h_next, not as signed 4 with scale 0.25 "
            "and unsigned 4 with scale 0.25; put the same quantizer on both",
        ),
        (
            step(shape=(2, "H", "W")),
            0,
            "h: a state must keep one fixed shape, not be (None, None, 2) and then (None, None, 2); "
            "export one step with a fixed size",
        ),
        (step(tail="Softmax"), 0, "h: a state's output must be integers, not the float tail h_next"),
        (step(), np.zeros(3), "h: initial values must be one number or of shape (2, 3, 4), not (3,)"),
        (step(), np.zeros((2, 4, 3)), "h: initial values must be one number or of shape (2, 3, 4), not (2, 4, 3)"),
    ],
)
def test_refusals(model: onnx.ModelProto, initial: object, sentence: str) -> None:
    with pytest.raises(CompileError, match=rf"\A{re.escape(sentence)}\Z"):
        compiled(model, initial)


def test_a_state_that_changes_its_shape_is_refused() -> None:
    model = step()
    model.graph.output.pop(0)
    sentence = (
        "h: a state must keep one fixed shape, not be (3, 4, 2) and then (3, 2, 2); export one step with a fixed size"
    )
    model = step()
    model.graph.node.append(helper.make_node("MaxPool", ["h_next"], ["small"], "pool", kernel_shape=[1, 3]))
    model.graph.output.append(helper.make_tensor_value_info("small", TensorProto.FLOAT, None))
    with pytest.raises(CompileError, match=rf"\A{re.escape(sentence)}\Z"):
        bitlens.compile(model, states={"h": "small"})
