# SPDX-License-Identifier: Apache-2.0
"""A fault of any pass must be seen: programs are damaged by hand here."""

import numpy as np
import onnx
import pytest

import bitlens
from bitlens.graph.graph import Graph
from bitlens.graph.infer_shapes import infer_shapes
from bitlens.graph.spec import CompileError
from bitlens.passes.move_channels_last import move_channels_last
from bitlens.passes.pipeline import QUANTIZED, TO_INTEGERS
from bitlens.passes.verify_program import verify_program
from bitlens.qonnx.read import read
from qonnx_models import ModelBuilder
from stages import assert_refused


def _model() -> onnx.ModelProto:
    b = ModelBuilder(("N", 3, 6, 6))
    x = b.conv(b.image(), np.random.default_rng(0).integers(-3, 4, (4, 3, 3, 3)), name="conv")
    x = b.quant(b.op("MaxPool", x, kernel_shape=[2, 2]), 0.3, 2, name="quant")
    return b.model(
        b.op("Gemm", b.op("Flatten", x), b.weights(np.ones((2, 36))), b.constant([0.1, 0]), transB=1, name="fc")
    )


def _verify(damage: object = None) -> dict[str, int]:
    imported = read(_model())
    graph = imported.copy()
    for rewrite in QUANTIZED:
        rewrite(graph)
    outputs = [*graph.outputs]
    for rewrite in TO_INTEGERS:
        rewrite(graph)
    names = move_channels_last(graph)
    infer_shapes(imported)
    if damage is not None:
        damage(graph)  # type: ignore[operator]
    return verify_program(imported, graph, names, outputs)


def test_every_sum_and_code_is_compared() -> None:
    assert _verify() == {"conv": 2 * 4 * 4 * 4, "maxpool_3": 2 * 3 * 3 * 4, "fc": 4}


def _weight(graph: Graph) -> None:
    graph.nodes[0].attrs["weights"] = graph.nodes[0].attrs["weights"].copy()
    graph.nodes[0].attrs["weights"][0, 0, 0, 0] += 1


def _breakpoint(graph: Graph) -> None:
    steps = next(node for node in graph if node.op == "steps")
    steps.attrs["breakpoints"] = steps.attrs["breakpoints"] + 1000


def _turn(graph: Graph) -> None:
    last = graph.nodes[-1]
    last.attrs["weights"] = last.attrs["weights"] * np.array([1, -1]).reshape(2, 1, 1, 1)


def _offset(graph: Graph) -> None:
    name = graph.outputs[0]
    graph.values[name] = graph.value(name).with_(offset=np.float32(1))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (_weight, r"conv: integers must equal the model's, not differ in \d+ of 128; this is a bug \(first at .*\)"),
        (_breakpoint, r"maxpool_\d: integers must equal the model's, not differ in \d+ of \d+; this is a bug \(first at .*\)"),
        (_turn, r"fc: output must equal the model's, not differ; this is a bug"),
        (_offset, r"fc: output must equal the model's, not differ; this is a bug"),
    ],
)  # fmt: skip
def test_damage_is_seen(damage: object, sentence: str) -> None:
    with pytest.raises(CompileError, match=rf"\A{sentence}\Z"):
        _verify(damage)


def test_symbolic_sizes_are_tried() -> None:
    b = ModelBuilder(("N", 1, "H", "W"))
    model = b.model(b.conv(b.image(), np.ones((1, 1, 33, 20)), strides=[4, 4]))
    assert bitlens.compile(model).graph.value("image").shape == (None, None, 1)


def test_a_net_for_larger_maps_than_any_that_is_tried_is_refused() -> None:
    b = ModelBuilder(("N", 1, "H", "W"))
    model = b.model(b.conv(b.image(), np.ones((1, 1, 300, 1))))
    assert_refused(
        model,
        "image: height and width must fit the net at one of (16, 24, 32, 48, 64, 96, 128, 224); export with a fixed size",
    )


def test_programs_that_no_machine_verifies_are_refused() -> None:
    b = ModelBuilder(("N", 1, 1 << 12, 1 << 12))
    x = b.image()
    for _ in range(33):
        x = b.op("MaxPool", x, kernel_shape=[1, 1], strides=[1, 1])
    assert_refused(
        b.model(x),
        "image: all tensors of an image must have at most 536870912 numbers, not 553648128; "
        "use smaller images, or export with a symbolic height and width",
    )
