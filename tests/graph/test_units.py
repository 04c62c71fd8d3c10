# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitlens.graph.units import common_unit, whole_multiple

POSITIVE = st.floats(2.0**-40, 2.0**40, width=32)


def array(*numbers: float) -> np.ndarray:
    return np.asarray(numbers[0] if len(numbers) == 1 else numbers, np.float32)


@given(POSITIVE, st.integers(-(1 << 24), 1 << 24))
def test_a_number_of_units_is_found_again(unit: float, count: int) -> None:
    number = np.float32(count) * np.float32(unit)
    found = whole_multiple(np.asarray(number), array(unit))
    assert found is not None
    assert np.float32(found) * np.float32(unit) == number


@given(POSITIVE, POSITIVE)
def test_what_is_no_whole_number_of_units_has_none(unit: float, number: float) -> None:
    found = whole_multiple(array(number), array(unit))
    nearest = int(np.rint(np.float64(number) / np.float64(unit))) if number / unit < 2e7 else 1 << 25
    near = [k for k in range(nearest - 2, nearest + 3) if k <= 1 << 24 and np.float32(k) * np.float32(unit) == number]
    assert (found is not None) == bool(near)


@pytest.mark.parametrize(
    ("numbers", "unit", "counts"),
    [
        (array(1.0), array(2.0**-8), 256),
        (array(0.5, -0.25), array(0.25), [2, -1]),
        (array(0.5, 0.75), array(0.5, 0.25), [1, 3]),
        (array(0.0), array(0.3), 0),
        (array(0.3), array(0.1), 3),  # as float32 multiplies
        (array(0.9), array(0.1), None),  # 9 * float32(0.1) is the next number
        (array(0.4), array(0.25), None),
        (array(0.5, 0.4), array(0.25), None),  # one of them
        (array(2.0**24), array(1.0), 1 << 24),
        (array(2.0**25), array(1.0), None),  # past float32's whole numbers
        (array(1.0), array(0.0), None),
        (array(0.0), array(0.0), None),
        (array(np.inf), array(1.0), None),
        (array(np.nan), array(1.0), None),
        (array(1.0), array(np.nan), None),
    ],
)
def test_counts(numbers: np.ndarray, unit: np.ndarray, counts: object) -> None:
    found = whole_multiple(numbers, unit)
    assert (None if found is None else found.tolist()) == counts


@given(POSITIVE, st.lists(st.sampled_from([1, 2, 3, 4, 5, 12, 1000, 1 << 16]), min_size=1, max_size=5))
def test_whole_ratios_have_a_common_unit(unit: float, ratios: list[int]) -> None:
    ratios[0] = 1
    units = [np.asarray(np.float32(ratio) * np.float32(unit)) for ratio in ratios]
    found = common_unit(units)
    assert found is not None
    assert found[0] == np.float32(unit)
    assert found[1] == ratios


@pytest.mark.parametrize(
    ("units", "found"),
    [
        ([], None),
        ([array(0.3)], (0.3, [1])),
        ([array(0.3), array(0.3)], (0.3, [1, 1])),
        ([array(0.25), array(1.0), array(0.5)], (0.25, [1, 4, 2])),
        ([array(1.0), array(0.25)], (0.25, [4, 1])),
        ([array(0.5), array(0.75)], None),
        ([array(0.5), array(0.0)], None),
        ([array(0.0), array(0.0)], (0.0, [1, 1])),
        ([array(0.5, 0.25), array(0.5, 0.25)], ([0.5, 0.25], [1, 1])),
        ([array(0.5, 0.25), array(1.0, 0.5)], ([0.5, 0.25], [1, 2])),
        ([array(0.5, 0.25), array(1.0, 1.0)], None),  # 2 and 4 times
        ([array(0.5, 0.5), array(0.5)], ([0.5, 0.5], [1, 1])),
        ([array(0.5, 0.25), array(0.5)], None),
        ([array(0.5, 0.5), array(0.5, 0.5, 0.5)], None),  # of tensors that differ in channels
    ],
)
def test_common_units(units: list[np.ndarray], found: tuple[object, list[int]] | None) -> None:
    got = common_unit(units)
    if got is None or found is None:
        assert got is found
    else:
        np.testing.assert_array_equal(got[0], np.float32(found[0]))
        assert got[1] == found[1]
