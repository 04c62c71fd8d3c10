# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from onnx import TensorProto

import bitlens
from bitlens.core.grid import Grid
from bitlens.graph.execute import execute
from bitlens.graph.file import Program
from bitlens.qonnx.read import read
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


@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize("mode", ["ROUND", "HALF_EVEN", "FLOOR", "CEIL", "UP", "DOWN", "HALF_UP", "HALF_DOWN"])
def test_real_inputs_are_rounded_as_the_model_does(mode: str, signed: int) -> None:
    b = ModelBuilder(("N", 1, 4, 8))
    x = b.quant("image", 0.3, 4, signed, rounding_mode=mode)
    model = b.model(b.conv(x, np.ones((1, 1, 1, 1))))
    image = np.float32(0.15) * np.arange(-16, 16, dtype=np.float32).reshape(
        1, 1, 4, 8
    )  # ties, both signs, past the ends
    (wanted,) = [tensor.integers for name, tensor in execute(read(model), {"image": image}).items() if name == x]
    program = bitlens.compile(model)
    for run in (program.run, bitlens.Session(program).run, bitlens.Session(Program.from_bytes(program.to_bytes())).run):
        (found,) = run(image.transpose(0, 2, 3, 1)).values()
        assert np.array_equal(found.transpose(0, 3, 1, 2), wanted)


def test_a_bipolar_input_is_a_sign() -> None:
    b = ModelBuilder(("N", 1, 1, 4))
    model = b.model(b.conv(b.bipolar("image", 0.5), np.ones((1, 1, 1, 1))))
    (found,) = bitlens.compile(model).run(np.array([[[[-0.1], [-0.0], [0.0], [3.0]]]], np.float32)).values()
    assert found.ravel().tolist() == [-1, 1, 1, 1]
