# SPDX-License-Identifier: Apache-2.0
"""Products, sums and differences of computed tensors: what is whole compiles exactly, all else is refused by name."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bitlens
import onnx_runtime
from bitlens.core.grid import Grid
from exactness import assert_exact
from processors import ISAS
from qonnx_models import ModelBuilder
from stages import after, assert_refused, only

CHANNELS = 3


@dataclass(frozen=True)
class Whole:
    """A tensor whose numbers are unit * integer, lo <= integer <= hi."""

    name: str
    unit: Fraction
    lo: int
    hi: int

    @property
    def exact(self) -> bool:
        """Whether float32 holds every number, whatever is done with it next."""
        return max(-self.lo, self.hi, 1) * self.unit.numerator < 1 << 20


class Expression:
    """A random expression of sums and products; every number in it is exact in float32, so any order of rounding agrees."""

    def __init__(self, seed: int, operators: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.b = ModelBuilder(("N", CHANNELS, 4, 4))
        self.image = self.b.fake("image", 2.0**-8)
        self.tensors = [self.leaf(), self.leaf()]
        for _ in range(operators):
            made = self.operator()
            if made is not None and made.exact:
                self.tensors.append(made)

    def pick(self, *choices: object) -> object:
        return choices[int(self.rng.integers(len(choices)))]

    def weights(self, outputs: int) -> str:
        integers = self.rng.integers(-9, 10, (outputs, CHANNELS, 1, 1))
        return self.b.fake(self.b.constant(integers * 0.25), 0.25, np.int8)

    def leaf(self) -> Whole:
        x = self.b.op("Conv", self.image, self.weights(CHANNELS))
        return self.quantized(x, Fraction(int(self.rng.choice([1, 1, 3])), 1 << int(self.rng.integers(2, 7))))

    def quantized(self, x: str, unit: Fraction) -> Whole:
        zero = int(self.pick(0, 0, 5))  # type: ignore[call-overload]
        if self.rng.integers(2):
            return Whole(self.b.fake(x, float(unit), np.uint8, zero), unit, -zero, 255 - zero)
        return Whole(self.b.fake(x, float(unit), np.int8, zero), unit, -128 - zero, 127 - zero)

    def numbers(self, unit: Fraction, counts: np.ndarray) -> str:
        return self.b.constant(counts.reshape(-1, 1, 1) * float(unit) if counts.size > 1 else counts * float(unit))

    def operator(self) -> Whole | None:
        x, y = (self.tensors[int(self.rng.integers(len(self.tensors)))] for _ in "xy")
        op = self.pick("Mul", "Mul", "Add", "Sub", "shift", "reversed", "scale", "over", "Neg", "quantize")
        if op == "Mul":
            ends = [a * b for a in (x.lo, x.hi) for b in (y.lo, y.hi)]
            return Whole(self.b.op("Mul", x.name, y.name), x.unit * y.unit, min(ends), max(ends))
        if op in ("Add", "Sub"):
            unit = min(x.unit, y.unit)
            m, n = x.unit / unit, y.unit / unit
            if m.denominator != 1 or n.denominator != 1:
                return None
            ends = sorted((int(n) * y.lo, int(n) * y.hi))
            ends = ends if op == "Add" else [-ends[1], -ends[0]]
            return Whole(self.b.op(str(op), x.name, y.name), unit, int(m) * x.lo + ends[0], int(m) * x.hi + ends[1])
        if op in ("shift", "reversed"):
            counts = self.rng.integers(-20, 21, int(self.pick(1, CHANNELS)))  # type: ignore[call-overload]
            constant, least, most = self.numbers(x.unit, counts), int(counts.min()), int(counts.max())
            if op == "reversed":
                return Whole(self.b.op("Sub", constant, x.name), x.unit, least - x.hi, most - x.lo)
            if self.rng.integers(2):
                return Whole(self.b.op("Add", constant, x.name), x.unit, x.lo + least, x.hi + most)
            return Whole(self.b.op("Sub", x.name, constant), x.unit, x.lo - most, x.hi - least)
        if op in ("scale", "over"):
            factor = Fraction(
                str(self.pick("1/2", "4", "-1/4", "-1", "3", "-3") if op == "scale" else self.pick("1/4", "-2"))
            )
            ends = sorted((x.lo, x.hi)) if factor > 0 else [-x.hi, -x.lo]
            operands = [x.name, self.b.constant(float(factor))]
            name = (
                self.b.op("Div", *operands) if op == "over" else self.b.op("Mul", *operands[:: int(self.pick(1, -1))])
            )  # type: ignore[call-overload]
            return Whole(name, x.unit * abs(factor) if op == "scale" else x.unit / abs(factor), ends[0], ends[1])
        if op == "Neg":
            return Whole(self.b.op("Neg", x.name), x.unit, -x.hi, -x.lo)
        return self.quantized(x.name, x.unit * (1 << max(0, (x.hi - x.lo).bit_length() - 8)))

    def model(self) -> onnx.ModelProto:
        """The expression in front of a layer that takes integers alone, or a quantizer where it has too many bits."""
        x = self.tensors[-1]
        if x.hi - x.lo >= 1 << 16:
            x = self.quantized(x.name, x.unit * (1 << (x.hi - x.lo).bit_length() - 8))
        return self.b.model(self.b.op("Conv", x.name, self.weights(2)))


def images(seed: int, count: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, CHANNELS, 4, 4))


def assert_like_onnx_runtime(model: onnx.ModelProto, integers: np.ndarray, unit: float = 2.0**-8) -> None:
    """Real values of the first output, number by number; integers (N, C, H, W) of the image."""
    wanted = onnx_runtime.evaluate(model, image=(integers * unit).astype(np.float32))
    program = bitlens.compile(model)
    for isa in ISAS:
        found = bitlens.Session(program, isa=isa).run(integers.transpose(0, 2, 3, 1).astype(np.uint8), real=True)
        real = next(iter(found.values())).transpose(0, 3, 1, 2).reshape(wanted.shape)
        np.testing.assert_array_equal(real, wanted, err_msg=isa)


@given(st.integers(0, 1 << 30), st.integers(1, 6))
@settings(deadline=None, max_examples=60)
def test_expressions_are_what_onnx_runtime_computes(seed: int, operators: int) -> None:
    model = Expression(seed, operators).model()
    assert_like_onnx_runtime(model, images(seed))
    assert_exact(model, seed, 1)


def _branch(b: ModelBuilder, scale: object = 0.25, seed: int = 0, *, bits: int = 4, channels: int = CHANNELS) -> str:
    """A quantized convolution of the image."""
    image = next((node.output[0] for node in b.nodes if node.name == "image_quant"), None) or b.image()
    weights = np.random.default_rng(seed).integers(-9, 10, (channels, CHANNELS, 1, 1))
    return b.quant(b.conv(image, weights, name=f"conv{seed}"), scale, bits, 1)  # type: ignore[arg-type]


def _read(b: ModelBuilder, x: str) -> onnx.ModelProto:
    """A layer that takes integers alone."""
    return b.model(b.conv(x, np.ones((2, CHANNELS, 1, 1)), name="last"))


def _builder() -> ModelBuilder:
    return ModelBuilder(("N", CHANNELS, 4, 4))


def test_one_minus_gates_are_integers() -> None:
    b = _builder()
    gates = b.quant(b.op("Sigmoid", _branch(b)), 2.0**-8, 8)
    model = _read(b, b.op("Sub", b.constant(1.0), gates))
    graph = after(model, "find_grids")
    rescale = only(graph, "rescale")
    assert (rescale.attrs["multiplier"].tolist(), rescale.attrs["addend"].tolist()) == ([-1], [256])
    assert graph.value(rescale.output).grid == Grid.span(1, 256)
    assert graph.value(rescale.output).scale == np.float32(2.0**-8)
    assert_exact(model)


def test_a_scale_costs_nothing() -> None:
    b = _builder()
    x = _branch(b)
    model = _read(b, b.op("Div", b.op("Mul", x, b.constant(3.0)), b.constant(0.1)))
    program = assert_exact(model)
    (last,) = (program.graph.value(name).scale for name in program.graph.outputs)
    assert [node.op for node in program.graph] == ["conv", "steps", "conv"]
    assert last == np.float32(np.float32(0.25) * np.float32(3)) / np.float32(0.1) * np.float32(0.25)


@pytest.mark.parametrize("ratio", [2.0, 3.0, 4.0, 1000.0])
def test_a_sum_of_whole_ratios_has_the_finer_unit(ratio: float) -> None:
    for turned in (False, True):
        b = _builder()
        operands = [_branch(b, 0.25, 0), _branch(b, np.float32(0.25 * ratio), 1)]
        model = b.model(b.op("Add", *operands[:: -1 if turned else 1]))
        graph = after(model, "find_grids")
        assert only(graph, "rescale").attrs["multiplier"].tolist() == [ratio]
        assert graph.value(only(graph, "add").output).scale == np.float32(0.25)
        assert_exact(model)


def test_a_concat_of_whole_ratios_has_the_finer_unit() -> None:
    b = _builder()
    model = b.model(b.op("Concat", _branch(b, 0.25, 0), _branch(b, 0.75, 1, channels=5), axis=1))
    graph = after(model, "find_grids")
    assert graph.value(graph.outputs[0]).grid == Grid.span(-24, 21)
    assert_exact(model)


def test_a_product_of_a_tensor_with_itself() -> None:
    b = _builder()
    x = _branch(b, bits=8)
    program = assert_exact(b.model(b.op("Mul", x, x)))
    (name,) = program.graph.outputs
    assert program.graph.value(name).scale == np.float32(0.25) ** 2
    assert program.run(random_image())[name].min() >= 0


def random_image() -> np.ndarray:
    return images(0).transpose(0, 2, 3, 1)


def test_units_of_channels_multiply() -> None:
    b = _builder()
    first, second = np.array([0.25, 0.5, 1]).reshape(1, -1, 1, 1), np.array([3, 5, 0.1]).reshape(1, -1, 1, 1)
    program = assert_exact(b.model(b.op("Mul", _branch(b, first, 0), _branch(b, second, 1))))
    (name,) = program.graph.outputs
    np.testing.assert_array_equal(
        program.graph.value(name).scale, np.float32(first).ravel() * np.float32(second).ravel()
    )


def test_a_difference_turns_the_second_operand() -> None:
    b = _builder()
    model = b.model(b.op("Sub", _branch(b, 0.25, 0), _branch(b, 0.5, 1)))
    graph = after(model, "find_grids")
    turned, larger = (node.attrs["multiplier"].tolist() for node in graph if node.op == "rescale")
    assert (turned, larger) == ([-1], [2])
    assert graph.value(only(graph, "add").output).grid == Grid.span(-8 - 14, 7 + 16)
    assert_exact(model)


def test_a_difference_of_a_tensor_with_itself_is_nothing() -> None:
    b = _builder()
    x = _branch(b)
    program = assert_exact(b.model(b.op("Sub", x, x)))
    assert not next(iter(program.run(random_image()).values())).any()


def _squeeze_and_excite(size: object = 4, *, first: bool = True) -> onnx.ModelProto:
    b = ModelBuilder(("N", CHANNELS, size, size))  # type: ignore[list-item]
    x = _branch(b, 2.0**-4, bits=8)
    pooled = b.quant(b.op("GlobalAveragePool", x), 2.0**-5, 8, 1)
    weights = np.random.default_rng(1).integers(-9, 10, (CHANNELS, CHANNELS))
    gates = b.op("Gemm", b.op("Flatten", pooled), b.weights(weights), transB=1)
    gates = b.quant(b.op("Sigmoid", gates), 2.0**-8, 8)
    gates = b.op("Reshape", gates, b.constant([0, CHANNELS, 1, 1], np.int64))
    return b.model(b.op("Mul", *((x, gates) if first else (gates, x)), name="excite"))


@pytest.mark.parametrize("first", [True, False])
def test_one_pixel_meets_every_pixel(first: bool) -> None:
    program = assert_exact(_squeeze_and_excite(first=first))
    node = only(program.graph, "multiply")
    assert [program.graph.value(name).shape for name in node.inputs] == [(4, 4, CHANNELS), (1, 1, CHANNELS)]


def test_a_product_keeps_any_size() -> None:
    b = ModelBuilder(("N", CHANNELS, "H", "W"))
    model = b.model(b.op("Mul", _branch(b, 0.25, 0), b.op("Sub", b.constant(1.0), _branch(b, 0.5, 1))))
    program = bitlens.compile(model)
    for size in ((1, 1), (1, 7), (9, 5)):
        x = np.random.default_rng(0).integers(0, 256, (2, *size, CHANNELS))
        (wanted,) = program.run(x).values()
        for isa in ISAS:
            (found,) = bitlens.Session(program, isa=isa, size=size).run(x).values()
            np.testing.assert_array_equal(found, wanted, err_msg=isa)


def test_a_pixel_from_outside_meets_any_size() -> None:
    b = ModelBuilder(("N", CHANNELS, "H", "W"))
    b.inputs.append(onnx.helper.make_tensor_value_info("gate", onnx.TensorProto.FLOAT, ["N", CHANNELS, 1, 1]))
    program = bitlens.compile(b.model(b.op("Mul", b.quant("gate", 2.0**-4, 4), _branch(b))))
    rng = np.random.default_rng(0)
    for size in ((1, 1), (6, 5)):
        x = {"image": rng.integers(0, 256, (2, *size, CHANNELS)), "gate": rng.integers(0, 16, (2, 1, 1, CHANNELS))}
        (wanted,) = program.run(x).values()
        assert wanted.shape == (2, *size, CHANNELS)
        for isa in ISAS:
            (found,) = bitlens.Session(program, isa=isa, size=size).run(x).values()
            np.testing.assert_array_equal(found, wanted, err_msg=isa)


def _unary(op: str, *constants: object, first: bool = False) -> Callable[[], onnx.ModelProto]:
    def make() -> onnx.ModelProto:
        b = _builder()
        numbers = [b.constant(np.asarray(constant)) for constant in constants]  # type: ignore[arg-type]
        x = _branch(b)
        return _read(b, b.op(op, *((*numbers, x) if first else (x, *numbers)), name="op"))

    return make


def _binary(op: str, second: object, *, relu: bool = False, channels: int = CHANNELS) -> Callable[[], onnx.ModelProto]:
    def make() -> onnx.ModelProto:
        b = _builder()
        other = _branch(b, second, 1, channels=channels)
        if relu:
            other = b.op("Sigmoid", other, name="act")
        return b.model(b.op(op, _branch(b), other, name="op"))

    return make


def _cube() -> onnx.ModelProto:
    b = _builder()
    x = _branch(b, bits=16)
    return b.model(b.op("Mul", b.op("Mul", x, x, name="square"), x, name="cube"))


def _far_units() -> onnx.ModelProto:
    b = _builder()
    return b.model(b.op("Add", _branch(b, 2.0**-10, bits=16), _branch(b, 2.0**10, 1, bits=16), name="op"))


def _endless_unit() -> onnx.ModelProto:
    b = _builder()
    return b.model(b.op("Mul", _branch(b, 1e30), _branch(b, 1e30, 1), name="op"))


def _mixed_ranks() -> onnx.ModelProto:
    b = _builder()
    pixel = b.quant(b.op("GlobalAveragePool", _branch(b)), 0.25, 4, 1)
    vector = b.op("Gemm", b.op("Flatten", pixel), b.weights(np.ones((CHANNELS, CHANNELS))), transB=1)
    return b.model(b.op("Mul", b.quant(vector, 0.25, 4, 1), pixel, name="op"))


_ON_HOST = "or run it in float on the host with --float-islands"
_NO_INTEGERS = f"last: input must be integers, not real values (op_4); put a quantizer before it, {_ON_HOST}"
_SHARED = "quantize both branches onto one shared grid before the sum, or allow it (--allow-requantize)"


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (_unary("Add", 0.1), _NO_INTEGERS),
        (_unary("Sub", 0.1, first=True), _NO_INTEGERS),
        (_unary("Add", np.array([0.25, 0.25, 0.3]).reshape(3, 1, 1)), _NO_INTEGERS),
        (_unary("Mul", 0.0), _NO_INTEGERS),
        (_unary("Mul", np.array([1.0, -1, 1]).reshape(3, 1, 1)), _NO_INTEGERS),
        (_unary("Mul", 1e-45), _NO_INTEGERS),  # a unit of 0
        (_unary("Div", 1e-45), _NO_INTEGERS),  # an endless one
        (_unary("Add", 1e9), _NO_INTEGERS),  # more than 2^24 units
        (_unary("Relu"), _NO_INTEGERS),
        (_unary("Div", 2.0, first=True), "op: constant of Div must be the second operand, not the first"),
        (
            _binary("Mul", 0.25, relu=True),
            f"op: input must be integers, not real values (act_4); quantize both operands of a product, {_ON_HOST}",
        ),
        (
            _binary("Sub", 0.25, relu=True),
            f"op: input must be integers, not real values (act_4.negative); {_SHARED}, {_ON_HOST}",
        ),
        (
            _binary("Sub", 0.3),
            "op: scales of the operands must be equal or whole multiples of the smallest, not 0.25 and 0.300000012; "
            f"{_SHARED}",
        ),
        (
            _binary("Mul", 0.25, channels=2),
            "op: inputs of Mul must fit, not (None, 3, 4, 4), (None, 2, 4, 4): axis 1 must be 3, not 2",
        ),
        (
            _binary("Mul", 0.25, channels=1),
            "op: operands of Mul must have one shape, or one of them one pixel, not (None, 3, 4, 4) and (None, 1, 4, 4)",
        ),
        (
            _mixed_ranks,
            "op: operands of Mul must have one shape, or one of them one pixel, not (None, 3) and (None, 3, 1, 1)",
        ),
        (
            _cube,
            "cube: sums must stay within 32 bits, not reach [-35184372088832, 35183298347008]; "
            "use fewer bits or fewer channels",
        ),
        (
            _far_units,
            "op: operands in the smallest of their units must stay within 32 bits, not reach [-34359738368, 34358689792]; "
            f"{_SHARED}",
        ),
        (_endless_unit, "op: unit of the product must be finite, not inf; use smaller scales"),
    ],
)
def test_refusals(make: Callable[[], onnx.ModelProto], sentence: str) -> None:
    assert_refused(make(), sentence)
