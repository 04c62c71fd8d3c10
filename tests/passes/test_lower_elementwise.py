# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from bitlens.core.grid import Grid
from bitlens.core.reference import Add, Clip, Divide, LeakyRelu, Multiply, Quantize
from qonnx_models import ModelBuilder
from stages import after, assert_refused


def _chain(op: str, *constants: object, first: bool = False, **attrs: object) -> tuple[object, ...]:
    b = ModelBuilder(("N", 2, 4, 4))
    x = b.conv(b.image(), np.ones((2, 2, 1, 1)))
    operands = [b.constant(c) for c in constants]
    x = b.op(op, *([*operands, x] if first else [x, *operands]), name="it", **attrs)
    graph = after(b.model(b.quant(x, 1, 4)), "lower_elementwise")
    (node,) = (node for node in graph if node.name == "it")
    assert node.op == "chain"
    return node.attrs["chain"]


def test_constants_become_one_number_or_one_per_channel() -> None:
    (one,) = _chain("Mul", np.full((1, 2, 4, 4), 3.0))
    (two,) = _chain("Mul", np.array([1.0, 2.0]).reshape(2, 1, 1), first=True)
    assert isinstance(one, Multiply)
    assert isinstance(two, Multiply)
    assert np.shape(one.values) == ()
    assert two.values.tolist() == [1, 2]


def test_the_order_of_operands_is_kept() -> None:
    assert _chain("Sub", 2.0) == (Add(np.float32(-2)),)
    assert _chain("Sub", 2.0, first=True) == (Multiply(np.float32(-1)), Add(np.float32(2)))
    assert _chain("Div", 2.0) == (Divide(np.float32(2)),)
    assert _chain("Neg") == (Multiply(np.float32(-1)),)
    assert _chain("LeakyRelu", alpha=0.5) == (LeakyRelu(np.float32(0.5)),)


def test_a_clip_may_have_one_limit() -> None:
    assert _chain("Clip", -1.0, 2.0) == (Clip(-1, 2),)
    assert _chain("Clip", -1.0) == (Clip(-1, np.inf),)


def test_a_zero_point_moves_the_grid() -> None:
    b = ModelBuilder()
    x = b.quant(b.image(), 0.5, 4, 0, 0, 3.0, "FLOOR", name="whole")
    y = b.quant(b.image(), 0.5, 4, 1, 0, -0.5, name="half")
    graph = after(b.model(x, y), "lower_elementwise")
    whole, half = (next(node for node in graph if node.name == name) for name in ("whole", "half"))
    assert whole.attrs["chain"] == (Quantize(np.float32(0.5), np.float32(3), 0, 15, "FLOOR"),)
    assert (whole.attrs["factor"], whole.attrs["shift"]) == (1, -3)
    assert graph.value(x).grid == Grid(-3, 12)
    assert (half.attrs["factor"], half.attrs["shift"]) == (2, 1)
    assert graph.value(y).grid == Grid.odd(4)
    assert graph.value(y).scale == np.float32(0.25)


def test_batch_norm_keeps_its_numbers() -> None:
    b = ModelBuilder(("N", 2, 4, 4))
    x = b.batch_norm(b.conv(b.image(), np.ones((2, 2, 1, 1))), [1, 2], [3, 4], [5, 6], [7, 8])
    graph = after(b.model(x), "lower_elementwise")
    (norm,) = graph.nodes[-1].attrs["chain"]
    assert [norm.gamma.tolist(), norm.beta.tolist(), norm.mean.tolist(), norm.var.tolist()] == [
        [1, 2], [3, 4], [5, 6], [7, 8],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("op", "constant", "first", "sentence"),
    [
        ("Mul", np.arange(4.0), False,
         "it: constant c4 must be one number or one per channel, not of shape (4,); reshape it to (C, 1, 1)"),
        ("Add", np.ones((3, 1, 2, 4, 4)), False,
         "it: constant c4 must be one number or one per channel, not of shape (3, 1, 2, 4, 4); reshape it to (C, 1, 1)"),
        ("Mul", np.inf, False, "it: constant c4 must be finite numbers, not inf or nan; repair the model"),
        ("Div", 0.0, False, "it: divisor c4 must not be 0; repair the model"),
        ("Div", 2.0, True, "it: constant of Div must be the second operand, not the first"),
    ],
)  # fmt: skip
def test_constants_without_a_meaning_are_refused(op: str, constant: object, first: bool, sentence: str) -> None:
    b = ModelBuilder(("N", 2, 4, 4))
    c = [b.constant(0), b.constant(0), b.constant(0), b.constant(0), b.constant(constant)][-1]
    x = b.image()
    model = b.model(b.quant(b.op(op, *((c, x) if first else (x, c)), name="it"), 1, 4))
    assert_refused(model, sentence)


def _after_sums(b: ModelBuilder) -> str:
    return b.conv(b.image(), np.ones((2, 3, 1, 1)))


def test_batch_norm_in_training_is_refused() -> None:
    b = ModelBuilder()
    ones = [b.constant(np.ones(2)) for _ in range(4)]
    model = b.model(b.op("BatchNormalization", _after_sums(b), *ones, name="bn", training_mode=1))
    assert_refused(model, "bn: training_mode must be 0, not 1; export the model in eval mode")


def test_a_negative_variance_is_refused() -> None:
    b = ModelBuilder()
    ones = [b.constant(np.ones(2)) for _ in range(3)]
    model = b.model(b.op("BatchNormalization", _after_sums(b), *ones, b.constant([1, -1]), name="bn", epsilon=0.0))
    assert_refused(model, "bn: variance plus epsilon must be positive and finite, not -1")


def test_batch_norm_of_another_width_is_refused() -> None:
    b = ModelBuilder()
    ones = [b.constant(np.ones(3)) for _ in range(4)]
    model = b.model(b.op("BatchNormalization", _after_sums(b), *ones, name="bn"))
    assert_refused(model, "bn: scale, bias, mean and variance must be (2,), not (3,), (3,), (3,), (3,)")


def test_clips_without_a_meaning_are_refused() -> None:
    b = ModelBuilder()
    x = _after_sums(b)
    assert_refused(
        b.model(b.op("Clip", x, b.constant(2), b.constant(1), name="clip")),
        "clip: lower limit must be at most the upper limit, not 2 and 1",
    )
    b = ModelBuilder()
    x = _after_sums(b)
    assert_refused(
        b.model(b.op("Clip", x, b.op("Relu", x, name="low"), name="clip")),
        "clip: limit low_3 must be one constant number, not computed; write it as a constant",
    )


def test_wide_activations_are_refused() -> None:
    b = ModelBuilder()
    model = b.model(b.quant(_after_sums(b), 1, 17, name="q"))
    assert_refused(model, "q: activations must have at most 16 bits, not 17; use fewer bits")
