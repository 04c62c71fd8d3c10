# SPDX-License-Identifier: Apache-2.0
import tracemalloc

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from bitlens.core.border import border_classes, sees_pixels


@given(st.integers(1, 9), st.integers(1, 4), st.integers(1, 3), st.integers(0, 3), st.integers(0, 3), st.integers(1, 2))
def test_classes_tell_which_taps_are_inside(
    size: int, kernel: int, stride: int, before: int, after: int, dilation: int
) -> None:
    classes, taps = border_classes(size, kernel, stride, (before, after), dilation)
    starts = range(-before, size + after - dilation * (kernel - 1), stride)
    assert len(classes) == len(starts)
    for index, start in zip(classes, starts, strict=True):
        assert taps[index].tolist() == [0 <= start + dilation * t < size for t in range(kernel)]


@given(st.integers(1, 9), st.integers(1, 4), st.integers(1, 5), st.integers(0, 9), st.integers(0, 9), st.integers(1, 5))
def test_windows_of_padding_alone_are_found(
    size: int, kernel: int, stride: int, before: int, after: int, dilation: int
) -> None:
    assume(size + before + after > dilation * (kernel - 1))
    _, taps = border_classes(size, kernel, stride, (before, after), dilation)
    assert sees_pixels(size, kernel, stride, (before, after), dilation) == taps.any(axis=1).all()


def test_an_axis_of_any_length_takes_no_memory() -> None:
    tracemalloc.start()
    assert sees_pixels((1 << 31) - 1, 3, 1, (1, 1), 1)
    assert not sees_pixels((1 << 31) - 1, 3, 1, (1, 4), 1)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_a_padded_3x3_has_nine_classes() -> None:
    classes, taps = border_classes(14, 3, 1, (1, 1))
    assert len(taps) == 3
    assert len(np.unique(classes)) ** 2 == 9
