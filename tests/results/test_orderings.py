# SPDX-License-Identifier: Apache-2.0
import pytest

from bitlens.results import orderings
from bitlens.results.orderings import MET, MISSED, STATEMENTS, UNMEASURED, UNRESOLVED, Statement, judge, seeds_of
from bitlens.results.trainings import TRAININGS

ENGINE = "accuracy, integers on the engine"


def lines(**values: list[float]) -> list[dict[str, object]]:
    return [
        {"row": row, "metric": ENGINE, "measured": value, "seed": seed}
        for row, found in values.items()
        for seed, value in enumerate(found)
    ]


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        (Statement("a", "b"), MET),  # 0.3 apart, seeds 0.02
        (Statement("b", "a"), MISSED),
        (Statement("a", "near"), UNRESOLVED),  # 0.01 apart
        (Statement("near", "a"), UNRESOLVED),
        (Statement("a", "b", margin=0.31), UNRESOLVED),  # missed by less than seeds differ
        (Statement("a", "b", margin=0.4), MISSED),
        (Statement("near", "a", margin=-0.01), MET),  # within a point
        (Statement("b", "a", margin=-0.01), MISSED),
        (Statement("a", 0.8), MET),  # a number has no seeds
        (Statement("a", 0.81), MISSED),
        (Statement("a", "none"), UNMEASURED),
        (Statement("one", "single"), UNRESOLVED),  # the table's largest spread stands for theirs
        (Statement("one", "b"), MET),
    ],
)
def test_statements_are_judged(monkeypatch: pytest.MonkeyPatch, statement: Statement, found: str) -> None:
    rows = lines(a=[0.79, 0.81], b=[0.5, 0.5], near=[0.79, 0.791], one=[0.7], single=[0.69])
    monkeypatch.setitem(STATEMENTS, "joins", (statement,))
    (verdict,) = judge("joins", rows, ENGINE, lower=False)
    assert verdict.found == found


def test_of_perplexities_less_is_better(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = lines(a=[150.0], b=[160.0])
    monkeypatch.setitem(STATEMENTS, "joins", (Statement("a", "b"), Statement("b", 155.0), Statement("a", 152.0)))
    first, second, third = judge("joins", rows, ENGINE, lower=True)
    assert (first.found, first.gap, first.spread) == (MET, 10.0, None)
    assert (second.found, second.gap) == (MISSED, -5.0)
    assert third.found == MET


def test_rows_without_a_program_count_as_trained() -> None:
    rows = [
        {"row": "float", "metric": "accuracy, as trained (torch)", "measured": 0.9},
        {"row": "a", "metric": "accuracy, as trained (torch)", "measured": 0.7},
        {"row": "a", "metric": ENGINE, "measured": 0.71},
        {"row": "a", "metric": "entropy of the weights' codes, bits", "measured": 2.0},
    ]
    assert seeds_of(rows, ENGINE) == {"float": [0.9], "a": [0.71]}


def test_statements_speak_of_rows_that_exist() -> None:
    assert {*STATEMENTS} == {*TRAININGS}
    for table, statements in orderings.STATEMENTS.items():
        rows = {training.row for training in TRAININGS[table]}
        for statement in statements:
            assert {name for name in (statement.better, statement.worse) if isinstance(name, str)} <= rows
