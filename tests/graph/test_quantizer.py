# SPDX-License-Identifier: Apache-2.0
"""Quant and BipolarQuant against a slow model of the operator, and what is refused."""

import re
from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlens.core.grid import Grid
from bitlens.graph.graph import Graph, Node
from bitlens.graph.quantizer import read_quantizer
from bitlens.graph.spec import CompileError

ROUNDINGS = ("ROUND", "HALF_EVEN", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN")


def made(
    scale: object = 1.0,
    zero_point: object = 0.0,
    bits: object = 4.0,
    *,
    signed: int = 1,
    narrow: int = 0,
    rounding_mode: str = "ROUND",
) -> tuple[Graph, Node]:
    constants = {name: np.asarray(value, np.float32) for name, value in (("s", scale), ("z", zero_point), ("b", bits))}
    attrs = {"signed": signed, "narrow": narrow, "rounding_mode": rounding_mode}
    node = Node("Quant", "act", ["x", "s", "z", "b"], ["y"], attrs)
    return Graph(inputs=["x"], outputs=["y"], nodes=[node], constants=constants), node


def rounded(v: Fraction, mode: str) -> int:
    """Rounding of exact numbers, case by case."""
    up, down, half = ceil(v), floor(v), Fraction(1, 2)
    away, towards = (up, down) if v >= 0 else (down, up)
    if mode in ("CEIL", "FLOOR", "UP", "DOWN"):
        return {"CEIL": up, "FLOOR": down, "UP": away, "DOWN": towards}[mode]
    if v - down == half:
        return {"HALF_UP": away, "HALF_DOWN": towards}.get(mode, down if down % 2 == 0 else up)
    return down if v - down < half else up


@given(
    x=st.integers(-300, 300),
    bits=st.integers(2, 8),
    signed=st.integers(0, 1),
    narrow=st.integers(0, 1),
    twice_zero=st.integers(-9, 9),
    mode=st.sampled_from(ROUNDINGS),
)
def test_integers_are_those_of_the_operator(
    x: int, bits: int, signed: int, narrow: int, twice_zero: int, mode: str
) -> None:
    zero, scale = Fraction(twice_zero, 2), Fraction(1, 4)
    quantizer = read_quantizer(*made(0.25, float(zero), bits, signed=signed, narrow=narrow, rounding_mode=mode))
    lo, hi = (-(2 ** (bits - 1)) + narrow, 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1 - narrow)
    v = Fraction(x, 16) / scale + zero  # exact in float32
    q = rounded(min(max(v, Fraction(lo)), Fraction(hi)), mode)
    (found,) = quantizer.integers(np.array([x / 16], np.float32))
    assert Fraction(int(found)) * Fraction(float(quantizer.unit)) == (q - zero) * scale
    assert quantizer.grid.contains(found)
    assert quantizer.grid.levels == hi - lo + 1


@pytest.mark.parametrize(
    ("quantizer", "grid", "unit"),
    [
        (made(0.5, bits=4, signed=0), Grid.unsigned(4), 0.5),
        (made(0.5, bits=4, signed=0, narrow=1), Grid(0, 14), 0.5),
        (made(0.5, bits=4), Grid.signed(4), 0.5),
        (made(0.5, bits=4, narrow=1), Grid.narrow(4), 0.5),
        (made(0.5, bits=2, narrow=1), Grid.ternary(), 0.5),
        (made(0.5, bits=1), Grid.bipolar(), 0.5),
        (made(0.5, bits=1, signed=0), Grid.unsigned(1), 0.5),
        (made(0.5, bits=1, signed=0, narrow=1), Grid(0, 0), 0.5),
        (made(0.5, -0.5, bits=3), Grid.odd(3), 0.25),
        (made(0.5, 128.0, bits=8, signed=0), Grid.signed(8), 0.5),
    ],
)
def test_grids_and_units(quantizer: tuple[Graph, Node], grid: Grid, unit: float) -> None:
    found = read_quantizer(*quantizer)
    assert found.grid == grid
    assert found.unit == np.float32(unit)


def test_one_bit_signed_and_bipolar_are_signs() -> None:
    graph, node = made(2.0, bits=1, rounding_mode="FLOOR")
    x = np.array([-3, -1e-6, -0.0, 0.0, 0.1, 9], np.float32)
    assert read_quantizer(graph, node).integers(x).tolist() == [-1, -1, 1, 1, 1, 1]
    node.op, node.inputs, node.attrs = "BipolarQuant", ["x", "s"], {}
    assert read_quantizer(graph, node).integers(x).tolist() == [-1, -1, 1, 1, 1, 1]


def test_scales_may_differ_by_channel() -> None:
    quantizer = read_quantizer(*made(np.array([1.0, 2.0]).reshape(1, 2, 1, 1), bits=[[4.0]]))
    assert quantizer.integers(np.full((1, 2, 1, 1), 4, np.float32)).ravel().tolist() == [4, 2]


@pytest.mark.parametrize("mode", ["round", "Half_Up"])
def test_rounding_modes_may_be_in_any_case(mode: str) -> None:
    assert read_quantizer(*made(rounding_mode=mode)).rounding == mode.upper()


def _computed(position: int) -> tuple[Graph, Node]:
    graph, node = made()
    node.inputs[position] = "x"
    return graph, node


@pytest.mark.parametrize(
    ("quantizer", "sentence"),
    [
        (made(0.0), "act: scale must be positive, not 0.0; fold the sign into the layer before"),
        (made([1.0, -2.0]), "act: scale must be positive, not -2.0; fold the sign into the layer before"),
        (made(np.nan), "act: scale must be positive, not nan; fold the sign into the layer before"),
        (made(bits=2.5), "act: bit width must be a whole number of 1 to 32, not 2.5; round it in the file"),
        (made(bits=0), "act: bit width must be a whole number of 1 to 32, not 0; round it in the file"),
        (made(bits=np.inf), "act: bit width must be a whole number of 1 to 32, not inf; round it in the file"),
        (made(bits=[2, 3]), "act: bit width must be one number, not 2 to 3; quantize per tensor"),
        (made(zero_point=[0, 1]), "act: zero point must be one number, not 0 to 1; quantize per tensor"),
        (
            made(zero_point=0.25),
            "act: zero point must be a multiple of 1/2, not 0.25; round it when quantizing the model",
        ),
        (made(zero_point=1.0, bits=1), "act: zero point of a 1-bit signed Quant must be 0, not 1"),
        (made(zero_point=4e9, bits=8), "act: integers must fit 32 bits, not 8 bits at zero point 4e+09"),
        (made(signed=2), "act: signed must be 0 or 1, not 2"),
        (made(narrow=-1), "act: narrow must be 0 or 1, not -1"),
        (
            made(rounding_mode="NEAR"),
            "act: rounding_mode must be one of ROUND, HALF_EVEN, CEIL, FLOOR, UP, DOWN, HALF_UP, HALF_DOWN, not NEAR",
        ),
        (_computed(1), "act: scale must be a constant, not computed (x); freeze the model before export"),
        (_computed(2), "act: zero point must be a constant, not computed (x); freeze the model before export"),
        (_computed(3), "act: bit width must be a constant, not computed (x); freeze the model before export"),
    ],
)
def test_refusals(quantizer: tuple[Graph, Node], sentence: str) -> None:
    with pytest.raises(CompileError, match=rf"\A{re.escape(sentence)}\Z"):
        read_quantizer(*quantizer)
