# SPDX-License-Identifier: Apache-2.0
"""Partially quantized models: equal to the model in reference arithmetic, close to ONNX Runtime, or refused."""

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from onnx import TensorProto, helper

import bitlens
import onnx_runtime
from bitlens.graph.execute import execute
from bitlens.graph.file import Program
from bitlens.graph.infer_shapes import infer_shapes
from bitlens.graph.islands import Island, IslandProgram
from bitlens.graph.spec import CompileError
from bitlens.passes.fold_constants import fold_constants
from bitlens.passes.pipeline import ONE_FORM
from bitlens.qonnx.read import read
from island_models import ISLANDS, Nets, quantized_chain
from stages import assert_refused


def _compiled(model: Any) -> IslandProgram:
    program = bitlens.compile(model, float_islands=True)
    assert isinstance(program, IslandProgram)
    return program


def _images(program: IslandProgram, count: int) -> npt.NDArray[Any]:
    (value,) = program.inputs
    shape = [size or 12 for size in (value.shape or ())[1:]]
    return np.random.default_rng(1).normal(0, 0.7, (count, *shape[1:], shape[0])).astype(np.float32)


def _model_order(array: npt.NDArray[Any], rank: int) -> npt.NDArray[Any]:
    return array.transpose(0, 3, 1, 2) if rank == 4 else array.reshape(len(array), -1)


@pytest.mark.parametrize("name", ISLANDS)
def test_the_whole_is_the_model_in_reference_arithmetic(name: str) -> None:
    model = ISLANDS[name][0]()
    program = _compiled(model)
    graph = read(model)
    for rewrite in (*ONE_FORM, infer_shapes, fold_constants):
        rewrite(graph)
    x = _images(program, 3)
    found = program.run(x, real=True)
    for i in range(len(x)):
        wanted = execute(graph, {"image": x[i : i + 1].transpose(0, 3, 1, 2)}, floats=True)
        for output in graph.outputs:
            real = wanted[output].real
            assert np.array_equal(_model_order(found[output][i : i + 1], real.ndim), real), output


@pytest.mark.parametrize("name", ["ONNX's own quantizers"])
def test_the_whole_is_close_to_onnx_runtime(name: str) -> None:
    model = ISLANDS[name][0]()
    x = np.random.default_rng(2).normal(0, 0.7, (20, 8, 8, 3)).astype(np.float32)
    (found,) = _compiled(model).run(x).values()
    wanted = onnx_runtime.evaluate(model, image=x.transpose(0, 3, 1, 2))
    away = np.abs(found.reshape(20, -1) - wanted).max(axis=1) / np.abs(wanted).max()
    assert (away > 1e-4).sum() <= 1  # a tie of float sums may turn a code


def test_a_model_of_integers_needs_no_island() -> None:
    assert isinstance(bitlens.compile(quantized_chain(), float_islands=True), Program)


@pytest.mark.parametrize("name", ["float ends", "any size"])
def test_results_do_not_depend_on_the_batch(name: str) -> None:
    program = _compiled(ISLANDS[name][0]())
    x = _images(program, 5)
    whole = program.run(x)
    for output, array in whole.items():
        assert np.array_equal(array, np.concatenate([program.run(x[i : i + 1])[output] for i in range(5)]))
        assert program.run(x[:0])[output].shape == (0, *array.shape[1:])


def test_outputs_are_integers_with_a_unit_or_real() -> None:
    program = _compiled(ISLANDS["many ends"][0]())
    x = _images(program, 2)
    found, real = program.run(x), program.run(x, real=True)
    values = program.described_outputs()
    assert [value.grid is None for value in values.values()] == [False, False, True, False]
    for name, value in values.items():
        assert found[name].dtype == (np.float32 if value.grid is None else np.int64)
        assert np.array_equal(real[name], (found[name] * value.scale + value.offset).astype(np.float32))
        if value.grid is not None:
            assert value.grid.contains(found[name])


def test_integers_enter_where_the_input_has_a_grid() -> None:
    program = _compiled(ISLANDS["gated"][0]())
    x = np.random.default_rng(3).integers(0, 256, (2, 8, 8, 3), np.uint8)
    (found,), (real,) = program.run(x).values(), program.run(x.astype(np.float32) / 255).values()
    assert np.array_equal(found, real)


def test_keep_gives_every_border() -> None:
    program = _compiled(ISLANDS["float ends"][0]())
    kept = program.run(_images(program, 1), keep=True)
    borders = {name for part in program.parts for name in part.graph.inputs}
    assert borders < {*kept}


def test_the_tail_stays_outside() -> None:
    b = Nets()
    y = b.float_conv(b.layer(b.image(), (4, 3, 3, 3), "one"), (2, 4, 1, 1), "two")
    program = _compiled(b.model(b.op("Softmax", y, axis=1)))
    assert program.metadata["tail"] == "softmax_6: softmax"
    assert [*program.outputs] == ["softmax_6"]


def test_a_float_activation_in_front_of_an_output_is_an_island() -> None:
    b = Nets()
    program = _compiled(b.model(b.op("Relu", b.sums(b.image(), (4, 3, 3, 3), "one"), name="relu")))
    (island,) = program.islands
    assert [node.name for node in island.graph] == ["relu"]


def _refused(model: Any, sentence: str) -> None:
    assert_refused(model, sentence, float_islands=True)


def test_a_float_model_is_refused_with_advice() -> None:
    b = Nets()
    y = b.float_conv(b.op("Relu", b.float_conv("image", (4, 3, 3, 3), "one")), (2, 4, 3, 3), "two")
    _refused(
        b.model(y),
        "made: at least one layer must be quantized, weights and input, for float islands, not none "
        "(one: weights must be quantized, not float (c0)); quantize the layers that cost most",
    )


def test_a_recurrent_step_is_refused() -> None:
    sentence = (
        "image: state of a recurrent step must stay with the engine, not beside float islands; "
        "quantize every layer of the step"
    )
    b = Nets()
    b.inputs.append(helper.make_tensor_value_info("word", TensorProto.FLOAT, ("N", 3, 8, 8)))
    y = b.float_conv(b.op("Add", "image", "word"), (3, 3, 1, 1), "one")
    with pytest.raises(CompileError, match=rf"\A{re.escape(sentence)}\Z"):
        bitlens.compile(b.model(y), states={"image": y}, float_islands=True)


def test_an_output_that_is_an_input_is_refused() -> None:
    b = Nets()
    y = b.sums(b.quant(b.float_conv("image", (4, 3, 3, 3), "one"), 0.1, 4, 1), (2, 4, 3, 3), "two")
    _refused(b.model(y, "image"), "image: output must be computed, not an input; leave it out of the model")
    _refused(b.model(y, "c0"), "c0: output must be computed, not a constant; leave it out of the model")


@pytest.mark.parametrize("sizes", [[1, 72], [3, 72], [0, -1], [1, -1], [3, -1], [-1, 72]])
def test_a_reshape_made_for_one_batch_serves_every_batch(sizes: list[int]) -> None:
    b = Nets()
    y = b.float_conv(b.layer(b.image(), (4, 3, 3, 3), "one"), (2, 4, 1, 1), "two")
    program = _compiled(b.model(y, b.op("Reshape", y, b.constant(sizes, np.int64), name="rows")))
    maps, rows = program.run(np.random.default_rng(0).random((2, 8, 8, 3)).astype(np.float32)).values()
    assert np.array_equal(rows[:, 0, 0], maps.transpose(0, 3, 1, 2).reshape(2, 72))


def test_an_image_quantized_for_an_output_too_is_quantized_on_the_host() -> None:
    b = Nets()
    x = b.image()
    y = b.op("Relu", b.sums(x, (4, 3, 3, 3), "one"), name="relu")
    program = _compiled(b.model(x, y))
    assert [type(part) for part in program.parts] == [Island, Program, Island]
    assert str(program.described_outputs()[x].grid) == "unsigned 8"


def test_an_operator_that_the_host_does_not_know_is_refused_by_name() -> None:
    b = Nets()
    y = b.op("LayerNormalization", b.sums(b.image(), (4, 3, 3, 3), "one"), b.constant(np.ones(6)), name="norm")
    _refused(
        b.model(b.sums(b.quant(y, 0.1, 4, 1), (2, 4, 3, 3), "two")),
        "norm: operator must be one that bitlens compiles, not LayerNormalization; "
        "replace the operator, or cut the model before it",
    )


def test_an_attribute_that_the_host_does_not_know_is_refused_by_name() -> None:
    b = Nets()
    y = b.layer(b.image(), (4, 3, 3, 3), "one")
    scales = b.constant([1, 1, 1.5, 1.5])
    y = b.op("Resize", y, "", scales, mode="linear", name="resize")
    _refused(
        b.model(b.sums(b.quant(y, 0.1, 4, name="quant"), (2, 4, 3, 3), "two")),
        "resize: mode of Resize must be nearest, not linear; resize outside",
    )


def test_islands_are_part_of_the_program() -> None:
    program = _compiled(ISLANDS["float middle"][0]())
    assert [type(part) for part in program.parts] == [Program, Island, Program]
    assert program.islands == [program.parts[1]]
    assert program.metadata["name"] == "made"
