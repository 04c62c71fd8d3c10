# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from bitlens.results.persons import milliseconds, over_persons


def test_the_interval_is_over_persons_not_samples() -> None:
    rng = np.random.default_rng(0)
    persons = np.repeat(np.arange(40), 25)
    values = rng.normal(0, 1, 40)[persons] + rng.normal(0, 0.1, 1000)
    value, low, high = over_persons(lambda chosen: float(values[chosen].mean()), persons)
    assert value == pytest.approx(values.mean(), abs=1e-4)
    assert low < value < high
    assert high - low == pytest.approx(2 * 1.96 * values.reshape(40, 25).mean(1).std() / 40**0.5, rel=0.2)
    assert over_persons(lambda chosen: float(values[chosen].mean()), persons) == [value, low, high]


def test_one_person_has_no_spread() -> None:
    assert over_persons(lambda chosen: float(chosen.sum()), np.zeros(5, np.int64)) == [10.0, 10.0, 10.0]


def test_draws_without_a_figure_are_left_out() -> None:
    persons = np.arange(6)
    found = over_persons(lambda chosen: 1.0 if 0 in chosen else float("nan"), persons)
    assert found == [1.0, 1.0, 1.0]
    assert np.isnan(over_persons(lambda chosen: float("nan"), persons)).all()


def test_milliseconds_are_of_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bitlens.results.persons.time_interleaved", lambda runs, seconds: {"": [0.002, 0.001, 0.004]})
    found = milliseconds(lambda: None)
    assert [*found.values()] == pytest.approx([2.0, 1.2])
