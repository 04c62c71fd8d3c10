# SPDX-License-Identifier: Apache-2.0
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlens.core.reference import (
    ROUNDINGS,
    Abs,
    Add,
    BatchNorm,
    Clip,
    Divide,
    LeakyRelu,
    Multiply,
    Quantize,
    Relu,
    Sigmoid,
    Tanh,
    evaluate,
    is_monotone,
)

TIES = [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]


@pytest.mark.parametrize(  # the table of the QONNX executor
    ("mode", "expected"),
    [
        ("ROUND", [-2, -2, 0, 0, 2, 2]),
        ("HALF_EVEN", [-2, -2, 0, 0, 2, 2]),
        ("CEIL", [-2, -1, 0, 1, 2, 3]),
        ("FLOOR", [-3, -2, -1, 0, 1, 2]),
        ("UP", [-3, -2, -1, 1, 2, 3]),
        ("DOWN", [-2, -1, 0, 0, 1, 2]),
        ("HALF_UP", [-3, -2, -1, 1, 2, 3]),
        ("HALF_DOWN", [-2, -1, 0, 0, 1, 2]),
    ],
)
def test_rounding_modes(mode: str, expected: list[int]) -> None:
    assert ROUNDINGS[mode](np.array(TIES, np.float32)).tolist() == expected


@given(st.integers(-(1 << 40), 1 << 40))
def test_the_accumulator_is_rounded_once(integer: int) -> None:
    assert evaluate((), [[integer]]).tolist() == [[float(np.float32(integer))]]


@given(st.integers(-10_000, 10_000), st.floats(0.0009765625, 8, width=32), st.floats(-4, 4, width=32))
def test_each_operator_rounds_to_float32(integer: int, scale: float, bias: float) -> None:
    def rounded(x: Fraction) -> Fraction:
        return Fraction(float(np.float32(float(x)))) if x.denominator.bit_length() < 900 else x

    product = np.float32(np.float64(integer) * np.float64(scale))  # exact in float64, so rounded once
    total = np.float32(np.float64(product) + np.float64(bias))
    got = evaluate((Multiply(np.float32(scale)), Add(np.float32(bias))), [[integer]])
    assert got.dtype == np.float32
    assert abs(rounded(Fraction(float(got[0, 0]))) - Fraction(float(total))) == 0


def test_operators() -> None:
    x = [[-3], [0], [2]]
    assert evaluate((Relu(),), x).ravel().tolist() == [0, 0, 2]
    assert evaluate((Abs(),), x).ravel().tolist() == [3, 0, 2]
    assert evaluate((Clip(-1.0, 1.0),), x).ravel().tolist() == [-1, 0, 1]
    assert evaluate((LeakyRelu(np.float32(0.5)),), x).ravel().tolist() == [-1.5, 0, 2]
    assert evaluate((Divide(np.float32(4)),), x).ravel().tolist() == [-0.75, 0, 0.5]
    assert evaluate((Sigmoid(),), x).ravel().tolist() == [np.float32(1 / (1 + math.exp(-v))) for v in (-3, 0, 2)]
    assert evaluate((Tanh(),), x).ravel().tolist() == [np.float32(math.tanh(v)) for v in (-3, 0, 2)]
    assert evaluate((Sigmoid(),), [[-100000]]).ravel().tolist() == [0]


def test_batch_norm_is_slope_and_intercept_in_float32() -> None:
    f = np.float32
    bn = BatchNorm(np.array([2], f), np.array([0.3], f), np.array([0.7], f), np.array([1.9], f), 1e-5)
    slope = f(2) * (f(1) / np.sqrt(f(1.9) + f(1e-5)))
    expected = f(f(5) * slope) + (f(0.3) - f(0.7) * slope)
    assert evaluate((bn,), [[5]])[0, 0] == expected


def test_quantize_clamps_before_rounding_and_signs_at_zero() -> None:
    quantize = Quantize(np.float32(0.5), np.float32(1), -2, 3, "ROUND")
    assert evaluate((quantize,), [[-9], [-1], [0], [1], [9]]).ravel().tolist() == [-2, -1, 1, 3, 3]
    sign = Quantize(np.float32(1), np.float32(0), -1, 1, "SIGN")
    assert evaluate((sign,), [[-1], [0], [1]]).ravel().tolist() == [-1, 1, 1]


def test_what_is_proven_monotone() -> None:
    assert is_monotone((Multiply(np.float32(-2)), Clip(0, 1), Relu(), LeakyRelu(np.float32(0.1))))
    assert not is_monotone((Abs(),))
    assert not is_monotone((Sigmoid(),))
    assert not is_monotone((LeakyRelu(np.float32(-0.1)),))
