# SPDX-License-Identifier: Apache-2.0
import pytest

from bitlens.results import orderings
from bitlens.results.orderings import (
    MET,
    MISSED,
    STATEMENTS,
    UNLIKE,
    UNMEASURED,
    UNRESOLVED,
    Seeds,
    Statement,
    judge,
    seeds_of,
)
from bitlens.results.trainings import TRAININGS

ENGINE = "accuracy, integers on the engine"


def lines(**values: list[float]) -> list[dict[str, object]]:
    return [
        {"row": row, "metric": ENGINE, "measured": value, "seed": seed, "method": 2, "epochs": 8}
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
        (Statement("near", "a", margin=-0.01), UNRESOLVED),  # within a point, by less than seeds differ
        (Statement("near", "a", margin=-0.05), MET),
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


def test_a_spread_is_borrowed_of_the_same_net_where_there_is_one() -> None:
    rows = lines(
        **{
            "C 1-1-8": [0.6, 0.68],
            "B 1-1-32": [0.67, 0.68],
            "B 1-2-32": [0.73],
            "B 32-32-32": [0.75],
        }
    )
    verdicts = {v.statement.better: v for v in judge("dorefa", rows, ENGINE, lower=False) if v.seeds}
    assert (verdicts["B 32-32-32"].spread, verdicts["B 32-32-32"].borrowed) == (pytest.approx(0.01), True)
    rows = [row for row in rows if row["row"] != "B 1-1-32"]
    verdicts = {v.statement.better: v for v in judge("dorefa", rows, ENGINE, lower=False) if v.seeds}
    assert (verdicts["B 32-32-32"].spread, verdicts["B 32-32-32"].borrowed) == (pytest.approx(0.08), True)


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
    rows = [{**row, "method": 1, "epochs": 3} for row in rows]
    assert seeds_of(rows, ENGINE) == {"float": Seeds([0.9], 1, 3), "a": Seeds([0.71], 1, 3)}


@pytest.mark.parametrize("other", [{"method": 1}, {"epochs": 7}, {"method": 1, "epochs": 20}])
def test_what_was_trained_otherwise_is_not_compared(other: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STATEMENTS, "joins", (Statement("a", "b"), Statement("b", "a"), Statement("b", 0.4)))
    a, b = lines(a=[0.7, 0.71]), [{**line, **other} for line in lines(b=[0.5])]
    assert [verdict.found for verdict in judge("joins", a + b, ENGINE, lower=False)] == [UNLIKE, UNLIKE, MET]
    older = [{**line, **other, "seed": 2} for line in lines(a=[0.1])]  # no seed of the same row
    assert seeds_of(a + older, ENGINE) == {"a": Seeds([0.7, 0.71], 2, 8)}


def test_a_paper_s_statement_agrees_with_its_figures() -> None:
    published = {run.row: run.published for run in TRAININGS["dorefa"]}
    cited = [statement for statement in STATEMENTS["dorefa"] if statement.source == "DoReFa-Net, table 1"]
    assert len(cited) > 5
    for statement in cited:
        better, worse = published[statement.better], published[str(statement.worse)]
        assert better is not None
        assert worse is not None
        assert better > worse


@pytest.mark.parametrize("table", ["recurrent", "beyond"])
def test_every_level_that_is_published_of_the_same_data_is_judged(table: str) -> None:
    told = {(statement.better, statement.worse) for statement in STATEMENTS[table]}
    assert {(run.row, run.published) for run in TRAININGS[table] if run.published is not None} <= told


def test_statements_speak_of_rows_that_exist() -> None:
    assert {*STATEMENTS} == {*TRAININGS}
    for table, statements in orderings.STATEMENTS.items():
        rows = {training.row for training in TRAININGS[table]}
        for statement in statements:
            assert {name for name in (statement.better, statement.worse) if isinstance(name, str)} <= rows
