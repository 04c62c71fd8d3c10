# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from onnx import TensorProto

import bitlens
from bitlens.core.grid import Grid
from qonnx_models import ModelBuilder
from stages import assert_refused


def test_an_input_takes_over_its_quantizer() -> None:
    b = ModelBuilder(("N", 1, "H", 8))
    program = bitlens.compile(b.model(b.conv(b.quant("image", 0.5, 8, 1), np.ones((1, 1, 1, 1)))))
    value = program.graph.value("image")
    assert (value.grid, value.scale, value.shape) == (Grid.signed(8), np.float32(0.5), (None, 8, 1))
    assert [node.op for node in program.graph] == ["conv"]


def test_layers_may_each_quantize_the_input_alike() -> None:
    b = ModelBuilder()
    heads = [b.conv(b.image(), np.full((1, 3, 1, 1), i), name=f"head{i}") for i in range(2)]
    assert [node.op for node in bitlens.compile(b.model(*heads)).graph] == ["conv", "conv"]


@pytest.mark.parametrize(("kind", "grid"), [(TensorProto.UINT8, Grid.unsigned(8)), (TensorProto.INT8, Grid.signed(8))])
def test_an_input_of_bytes_is_integers_already(kind: int, grid: Grid) -> None:
    b = ModelBuilder(("N", 1), kind)
    x = b.op("Div", b.op("Cast", "image", to=TensorProto.FLOAT), b.constant(255))
    program = bitlens.compile(b.model(b.op("Gemm", b.quant(x, 1 / 15, 4), b.weights(np.ones((1, 1))))))
    assert program.graph.value("image").grid == grid
    assert [node.op for node in program.graph] == ["steps", "conv"]


def test_a_float_input_is_refused() -> None:
    b = ModelBuilder()
    model = b.model(b.conv("image", np.ones((1, 3, 1, 1))))
    assert_refused(
        model,
        "image: input must go into one quantizer, not into conv; "
        "quantize it first, 8 bits unsigned with scale 1/255 for images",
    )


def test_an_input_with_two_quantizers_is_refused() -> None:
    b = ModelBuilder()
    model = b.model(b.quant("image", 1, 8, name="a"), b.quant("image", 1, 4, name="b"))
    assert_refused(
        model,
        "image: input must go into one quantizer, not into a, b; "
        "quantize it first, 8 bits unsigned with scale 1/255 for images",
    )
