# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlens.data.agreement import auc, frontal_auc, ranks, spearman, threshold_at

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


@settings(deadline=None)
@given(few, st.integers(1, 9), st.sampled_from([0.0, 0.02, 0.29, 0.5, 1.0, 7.0]))
def test_the_threshold_is_the_least_that_allows_so_few(scores: list[int], pictures: int, alarms: float) -> None:
    threshold = threshold_at(scores, pictures, alarms)
    assert sum(score >= threshold for score in scores) <= alarms * pictures + 1e-9
    lower = [score for score in scores if score < threshold]
    if lower:  # the next lower score would be too low
        assert sum(score >= max(lower) for score in scores) > alarms * pictures
    else:
        assert threshold == -math.inf


def test_29_alarms_in_100_pictures_are_29() -> None:
    assert threshold_at(range(60), 100, 0.29) == np.nextafter(30.0, np.inf)  # 0.29 * 100 is a little less


def test_frontal_is_up_to_15_and_turned_above_35_degrees() -> None:
    assert frontal_auc([90, 10, 50, 80], [-15, 36, 35, 16]) == 1.0
    assert frontal_auc([10, 90], [0, -40]) == 0.0
    assert math.isnan(frontal_auc([10, 90], [0, 35]))
