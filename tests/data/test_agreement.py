# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlens.data.agreement import auc, ranks, spearman

few = st.lists(st.integers(-4, 4), min_size=1, max_size=12)


@settings(deadline=None)
@given(few)
def test_ranks_count_what_is_below(values: list[int]) -> None:
    slow = [sum(other < value for other in values) + (values.count(value) + 1) / 2 for value in values]
    assert ranks(values).tolist() == slow


@settings(deadline=None)
@given(few, few)
def test_auc_is_the_share_of_pairs_in_order(positive: list[int], negative: list[int]) -> None:
    pairs = [(a > b) + (a == b) / 2 for a in positive for b in negative]
    assert auc(positive, negative) == pytest.approx(sum(pairs) / len(pairs))


def test_spearman_sees_order_alone() -> None:
    x = np.array([0.1, 0.5, 0.2, 0.9])
    assert spearman(x, np.exp(9 * x)) == pytest.approx(1.0)
    assert spearman(x, -x) == pytest.approx(-1.0)
    assert spearman([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(0.8)
    assert spearman([1, 2, 3], [1, 1, 2]) == pytest.approx(math.sqrt(3) / 2)  # ranks 1.5, 1.5, 3


def test_nothing_to_order() -> None:
    assert math.isnan(spearman([1, 1], [1, 2]))
    assert math.isnan(auc([], [1]))
