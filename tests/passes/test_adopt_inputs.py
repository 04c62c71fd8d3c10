# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from onnx import TensorProto

import bitlens
from bitlens.core.grid import Grid
from bitlens.graph.execute import execute
from bitlens.graph.file import Program
from bitlens.graph.spec import CompileError
from bitlens.passes.fold_constants import fold_constants
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


def _assert_adopted(b: ModelBuilder, x: str, image: np.ndarray, grid: Grid, ops: list[str] | None = None) -> None:
    """The program begins with integers of this grid and gives, of real images, the integers that the model gives."""
    channels = image.shape[1]
    model = b.model(b.conv(x, np.arange(1, channels + 1).reshape(1, channels, 1, 1)))
    wanted = execute(read(model), {"image": image})[model.graph.output[0].name].integers
    program = bitlens.compile(model)
    assert program.graph.value("image").grid == grid
    assert [node.op for node in program.graph] == (ops or ["conv"])
    for run in (program.run, bitlens.Session(Program.from_bytes(program.to_bytes())).run):
        (found,) = run(image.transpose(0, 2, 3, 1)).values()
        assert np.array_equal(found.transpose(0, 3, 1, 2), wanted)


def _pixels(channels: int) -> np.ndarray:
    return (np.random.default_rng(0).integers(0, 256, (4, channels, 5, 5)) / 255).astype(np.float32)


@pytest.mark.parametrize("mode", ["ROUND", "FLOOR", "CEIL", "HALF_UP"])
def test_a_straight_line_goes_outside_with_the_quantizer(mode: str) -> None:
    b = ModelBuilder(("N", 1, 5, 5))
    x = b.op("Sub", b.op("Mul", "image", b.constant(2.0)), b.constant(1.0))
    _assert_adopted(b, b.quant(x, 2**-7, 8, 1, rounding_mode=mode), _pixels(1), Grid.signed(8))


def test_a_sign_behind_a_straight_line() -> None:
    b = ModelBuilder(("N", 1, 5, 5))
    x = b.op("Sub", b.op("Mul", "image", b.constant(2.0)), b.constant(1.0))
    _assert_adopted(b, b.bipolar(x), _pixels(1), Grid.odd(1))


def test_a_mean_and_a_deviation_per_channel() -> None:
    b = ModelBuilder(("N", 3, 5, 5))
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    x = b.op("Sub", "image", b.constant(mean.reshape(3, 1, 1)))
    x = b.op("Div", x, b.constant(deviation.reshape(3, 1, 1)))
    _assert_adopted(b, b.quant(x, 0.0207, 8, 1), _pixels(3), Grid.signed(8))


def test_batch_norm_of_the_input() -> None:
    b = ModelBuilder(("N", 2, 5, 5))
    x = b.batch_norm("image", [1.0, 0.5], [0.1, 0.0], [0.5, 0.4], [0.1, 0.2])
    _assert_adopted(b, b.quant(x, 0.017, 8, 1), _pixels(2), Grid.signed(8))


@pytest.mark.parametrize(("lo", "hi"), [(-0.5, 0.25), (-9.0, 9.0), (0.0, 9.0)])
def test_limits_narrow_the_grid(lo: float, hi: float) -> None:
    b = ModelBuilder(("N", 1, 5, 5))
    x = b.op("Clip", b.op("Sub", "image", b.constant(0.5)), b.constant(lo), b.constant(hi))
    grid = Grid(max(-32, round(lo * 64)), min(31, round(hi * 64)))
    _assert_adopted(b, b.quant(x, 2**-6, 6, 1), _pixels(1), grid)


def test_a_relu_in_front_of_the_quantizer() -> None:
    b = ModelBuilder(("N", 1, 5, 5))
    _assert_adopted(b, b.quant(b.op("Relu", "image"), 1 / 15, 4), _pixels(1) * 2 - 1, Grid.unsigned(4))


@pytest.mark.parametrize(("count", "scale", "bias"), [(7, 1.0, 0.0), (7, 1.0, -4.0), (1, 2.0, -1.0), (3, 2.0, -3.0)])
def test_even_thresholds_are_a_quantizer(count: int, scale: float, bias: float) -> None:
    b = ModelBuilder(("N", 1, 5, 5))
    thresholds = b.constant(0.0731 * (np.arange(count) + 2)[None])
    attrs = {"out_dtype": "INT8", "out_scale": scale, "out_bias": bias, "data_layout": "NCHW"}
    x = b.op("MultiThreshold", "image", thresholds, domain="qonnx.custom_op.general", **attrs)
    lo = int(bias)
    _assert_adopted(b, x, _pixels(1), Grid(lo, lo + int(scale) * count, int(scale)))


def test_thresholds_per_channel() -> None:
    b = ModelBuilder(("N", 2, 5, 5))
    thresholds = b.constant(np.array([[0.1, 0.2, 0.3], [0.15, 0.4, 0.65]]))
    attrs = {"out_dtype": "UINT2", "out_scale": 1.0, "out_bias": 0.0, "data_layout": "NCHW"}
    x = b.op("MultiThreshold", "image", thresholds, domain="qonnx.custom_op.general", **attrs)
    _assert_adopted(b, x, _pixels(2), Grid.unsigned(2))


@pytest.mark.parametrize("way", ["falling", "bent", "uneven"])
def test_what_is_no_rising_straight_line_is_refused(way: str) -> None:
    b = ModelBuilder(("N", 1, 5, 5))
    name = "first"
    if way == "falling":
        x = b.quant(b.op("Mul", "image", b.constant(-1.0), name=name), 2**-7, 8, 1)
    elif way == "bent":
        x = b.quant(b.op("Sigmoid", "image", name=name), 2**-7, 8, 1)
    else:
        attrs = {"out_dtype": "UINT2", "out_scale": 1.0, "out_bias": 0.0, "data_layout": "NCHW"}
        domain = "qonnx.custom_op.general"
        x = b.op("MultiThreshold", "image", b.constant([[0.1, 0.2, 0.9]]), name=name, domain=domain, **attrs)
    assert_refused(
        b.model(b.conv(x, np.ones((1, 1, 1, 1)))),
        "image: input must go into one quantizer, not into first; "
        "quantize it first, 8 bits unsigned with scale 1/255 for images",
    )


@pytest.mark.parametrize("mode", ["ROUND", "HALF_UP", "HALF_DOWN", "UP", "DOWN", "FLOOR", "CEIL"])
@pytest.mark.parametrize("zero_point", [0, 1, 4, 5, 7.5, -0.5])
@pytest.mark.parametrize("signed", [0, 1])
def test_ties_are_rounded_as_the_quantizer_does(mode: str, zero_point: float, signed: int) -> None:
    """The quantizer rounds x/s + z, the input's record x/s: whole and half numbers tell the two apart."""
    b = ModelBuilder(("N", 1, 1, 64))
    model = b.model(b.quant(b.quant("image", 0.25, 4, signed, zero_point=zero_point, rounding_mode=mode), 0.25, 8, 1))
    x = (np.arange(-32, 32) / 16).astype(np.float32)  # quarters of a unit, ties included
    graph = read(model)
    fold_constants(graph)
    wanted = execute(graph, {"image": x.reshape(1, 1, 1, -1)})[graph.outputs[0]].real.reshape(-1)
    half = zero_point != int(zero_point)
    if signed and zero_point and not half and mode in ("HALF_UP", "HALF_DOWN", "UP", "DOWN"):
        assert_refused(
            model,
            "image: rounding of the input's quantizer must be ROUND, FLOOR or CEIL at a zero point of a signed grid, "
            f"not {mode} at {zero_point:g}; use another rounding, or no zero point",
        )
        return
    if signed and zero_point == 7.5 and mode in ("HALF_UP", "HALF_DOWN", "UP", "DOWN"):
        with pytest.raises(CompileError, match="^image: rounding of the input's quantizer"):
            bitlens.compile(model)
        return
    (found,) = bitlens.Session(bitlens.compile(model)).run(x.reshape(1, 1, 64, 1), real=True).values()
    assert np.array_equal(found.reshape(-1), wanted)
