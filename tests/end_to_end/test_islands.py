# SPDX-License-Identifier: Apache-2.0
"""Partially quantized models as others make them: by ONNX Runtime's quantizer with layers left out, and at random."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

import bitlens
import onnx_runtime
from bitlens.graph.island_file import decode_islands
from bitlens.graph.islands import IslandProgram
from bitlens.graph.spec import CompileError
from broken_models import damage
from island_models import Nets
from random_models import random_model


class _Images(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.left = iter([{"image": rng.normal(size=(1, 3, 16, 16)).astype(np.float32)} for _ in range(8)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.left, None)


def _residual_net() -> onnx.ModelProto:
    b, same = Nets(("N", 3, 16, 16)), {"pads": [1, 1, 1, 1]}
    y = b.op("Relu", b.float_conv("image", (8, 3, 3, 3), "first", **same), name="relu1")
    z = b.op("Relu", b.float_conv(y, (8, 8, 3, 3), "second", **same), name="relu2")
    z = b.op("Add", z, y, name="sum")
    z = b.op("Relu", b.float_conv(z, (8, 8, 3, 3), "third", strides=[2, 2], **same), name="relu3")
    z = b.op("Flatten", b.op("GlobalAveragePool", z, name="mean"), name="flat")
    model = b.model(b.float_linear(z, 8, 10, "last"))
    del model.opset_import[1]
    return model


@pytest.mark.parametrize("left_out", [["first", "last"], ["first", "sum", "last"], ["second"], ["third", "mean"]])
@pytest.mark.parametrize("per_channel", [False, True])
def test_models_that_onnx_runtime_quantized_in_part(left_out: Sequence[str], per_channel: bool, tmp_path: Path) -> None:
    onnx.save(_residual_net(), tmp_path / "float.onnx")
    quantize_static(
        tmp_path / "float.onnx",
        tmp_path / "quantized.onnx",
        _Images(),
        quant_format=QuantFormat.QDQ,
        per_channel=per_channel,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=[*left_out],
    )
    program = bitlens.compile(tmp_path / "quantized.onnx", float_islands=True)
    assert isinstance(program, IslandProgram)
    on_host = {node.name for island in program.islands for node in island.graph}
    assert on_host.issuperset(left_out)
    x = np.random.default_rng(1).normal(size=(20, 3, 16, 16)).astype(np.float32)
    wanted = onnx_runtime.evaluate(onnx.load(tmp_path / "quantized.onnx"), image=x)
    (found,) = bitlens.Session(program, threads=1).run(x.transpose(0, 2, 3, 1), real=True).values()
    away = np.abs(found.reshape(wanted.shape) - wanted).max(axis=1) / np.abs(wanted).max()
    assert (away > 1e-5).sum() <= 1  # a tie of float sums may turn a code


def _without_some_quantizers(model: onnx.ModelProto, rng: np.random.Generator) -> None:
    """Make about a third of the quantizers vanish, of weights and of activations."""
    graph = model.graph
    ends = {output.name for output in graph.output}
    gone = {
        node.output[0]: node.input[0]
        for node in graph.node
        if node.op_type in ("Quant", "BipolarQuant") and node.output[0] not in ends and rng.random() < 0.3
    }
    kept = [node for node in graph.node if node.output[0] not in gone]
    for node in kept:
        for place, tensor in enumerate(node.input):
            while tensor in gone:
                tensor = gone[tensor]
            node.input[place] = tensor
    del graph.node[:]
    graph.node.extend(kept)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), blocks=st.integers(1, 5))
def test_random_models_without_some_quantizers_are_equal_in_every_form_or_refused(seed: int, blocks: int) -> None:
    model, rng = random_model(seed, blocks), np.random.default_rng(seed)
    _without_some_quantizers(model, rng)
    try:
        program = bitlens.compile(model, float_islands=True)
    except CompileError as error:
        assert "\n" not in str(error)
        assert "this is a bug" not in str(error)
        return
    if not isinstance(program, IslandProgram):
        return
    x = {}
    for value in program.inputs:
        sizes = [size or 16 for size in (value.shape or ())[1:]]
        shape = (2, *sizes[1:], sizes[0]) if len(sizes) == 3 else (2, 1, 1, *sizes)
        reals = rng.normal(0, 1, shape).astype(np.float32)
        x[value.name] = reals if value.grid is None else value.grid.decode(rng.integers(0, value.grid.levels, shape))
    golden = program.run(x)
    read = decode_islands(program.to_bytes()).run(x)
    engine = bitlens.Session(program, threads=1).run(x)
    for name, array in golden.items():
        assert np.array_equal(read[name], array)
        assert np.array_equal(engine[name], array)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), blocks=st.integers(1, 3))
def test_broken_models_without_some_quantizers_are_compiled_or_refused_in_one_line(seed: int, blocks: int) -> None:
    model, rng = random_model(seed, blocks), np.random.default_rng(seed)
    _without_some_quantizers(model, rng)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of making faults
        damage(model, rng)
    try:
        bitlens.compile(model, float_islands=True)
    except CompileError as error:
        assert "\n" not in str(error)
        assert "this is a bug" not in str(error)
