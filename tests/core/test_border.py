# SPDX-License-Identifier: Apache-2.0
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bitlens.core.border import border_classes


@given(st.integers(1, 9), st.integers(1, 4), st.integers(1, 3), st.integers(0, 3), st.integers(0, 3), st.integers(1, 2))
def test_classes_tell_which_taps_are_inside(
    size: int, kernel: int, stride: int, before: int, after: int, dilation: int
) -> None:
    classes, taps = border_classes(size, kernel, stride, (before, after), dilation)
    starts = range(-before, size + after - dilation * (kernel - 1), stride)
    assert len(classes) == len(starts)
    for index, start in zip(classes, starts, strict=True):
        assert taps[index].tolist() == [0 <= start + dilation * t < size for t in range(kernel)]


def test_a_padded_3x3_has_nine_classes() -> None:
    classes, taps = border_classes(14, 3, 1, (1, 1))
    assert len(taps) == 3
    assert len(np.unique(classes)) ** 2 == 9
