# SPDX-License-Identifier: Apache-2.0
import re

import numpy as np
import pytest

from bitlens.core.grid import Grid
from bitlens.core.inputs import InputError, check_integers, check_names, to_integers

ONE, ZERO = np.ones((), np.float32), np.zeros((), np.float32)


@pytest.mark.parametrize(
    ("grid", "scale", "offset", "x", "want"),
    [
        (Grid.unsigned(2), 0.5, 0, [-1.0, 0.25, 0.24, 0.75, 9.0], [0, 1, 0, 2, 3]),
        (Grid.unsigned(2), 0.5, 1, [0.0, 1.25, 1.24, 1.75, 9.0], [0, 1, 0, 2, 3]),
        (Grid.odd(2), 1, 0, [-9.0, -2.0, 0.0, 2.9], [-3, -1, 1, 3]),
        (Grid.unsigned(8), 1 / 255, 0, [-1e300, 1e300, -3e38, 3e38], [0, 255, 0, 255]),
        (Grid.span(-(1 << 31), (1 << 31) - 1), 1, 0, [-1e300, 1e300], [-(1 << 31), (1 << 31) - 1]),
    ],
)
def test_floats_are_quantized_half_up(grid: Grid, scale: float, offset: float, x: list[float], want: list[int]) -> None:
    assert to_integers("x", np.array(x), grid, np.float32(scale), np.float32(offset)).tolist() == want


def test_integers_stay_as_they_are() -> None:
    array = np.array([3, 200], np.uint8)
    assert to_integers("x", array, Grid.unsigned(8), np.float32(0.5), ZERO) is array
    check_integers("x", array, Grid.unsigned(8))


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.array([True]), "x: dtype must be an integer or float type, not bool"),
        (np.array([1j]), "x: dtype must be an integer or float type, not complex128"),
        (np.array([0.5, np.inf]), "x: every number must be finite, not inf"),
        (np.array([200], np.uint8), "x: every integer must be on the grid odd 2, not 200"),
        (np.array([1, 2], np.uint8), "x: every integer must be on the grid odd 2, not 2"),
        (np.array([(1 << 64) - 1], np.uint64), "x: every integer must be on the grid odd 2, not 18446744073709551615"),
    ],
)
def test_refusals(array: np.ndarray, sentence: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(sentence)}$"):
        check_integers("x", to_integers("x", array, Grid.odd(2), ONE, ZERO), Grid.odd(2))


def test_names() -> None:
    check_names(["a", "b"], {"b": 1, "a": 2})
    for given, found in (([], "none"), (["a"], "a"), (["a", "b", "c"], "a, b, c")):
        with pytest.raises(InputError, match=f"^inputs: names must be a, b, not {found}$"):
            check_names(["a", "b"], given)
