# SPDX-License-Identifier: Apache-2.0
"""The page of the papers' tables and the README say what `docs/results/TABLE.json` holds."""

from pathlib import Path

import pytest

from bitlens.results.table_pages import _TOLD, TITLES, page_of, read_tables, renew_pages, summary_of
from bitlens.results.trainings import TRAININGS

ROOT = Path(__file__).parents[2]
TABLES = read_tables(ROOT)


def test_pages_say_what_was_measured() -> None:
    told = "figures have changed: python -m bitlens.results.table_pages"
    assert (ROOT / "docs/tables.md").read_text() == page_of(TABLES), told
    assert summary_of(TABLES) in (ROOT / "README.md").read_text(), told


@pytest.mark.parametrize("table", TITLES)
def test_every_measured_row_is_of_the_table_and_has_its_log(table: str) -> None:
    rows = {training.row for training in TRAININGS[table]}
    for line in TABLES[table]:
        assert line["row"] in rows
        assert (ROOT / "docs/results" / line["log"]).is_file()
    assert not TABLES[table] or (ROOT / f"docs/figures/table_{table}.svg").is_file()


def test_every_table_has_a_title_and_a_row_that_the_readme_tells() -> None:
    assert [*TITLES] == [*TRAININGS]
    for table in TITLES:
        assert {*_TOLD[table]} <= {training.row for training in TRAININGS[table]}


def lines() -> list[dict[str, object]]:
    common = {"machine": "m", "date": "2026-11-27", "trained_on": "t", "epochs": 3, "log": "l", "published": None}
    values = {"ResNet-20 2/2, shared grid": (0.70, 0.72), "ResNet-20 2/2, float sums": (0.75, 0.75)}
    return [
        {"row": row, "metric": f"accuracy, {form}", "measured": value, "seed": seed, **common}
        for row, seeds in values.items()
        for seed, value in enumerate(seeds)
        for form in ("as trained (torch)", *(["integers on the engine"] if "shared" in row else []))
    ]


def test_a_page_holds_rows_and_judged_statements() -> None:
    page = page_of({"joins": lines()})
    assert "| ResNet-20 2/2, shared grid | 71.00 % (70.00 to 72.00) | 71.00 % (70.00 to 72.00) | – | 3 | 2 |" in page
    assert "| ResNet-20 2/2, float sums | 75.00 % (75.00 to 75.00) | – | – | 3 | 2 |" in page
    sentence = "ResNet-20 2/2, float sums better than ResNet-20 2/2, shared grid"
    assert f"| {sentence} | the cost of integer sums | +4.00 points | 2.00 points | yes |" in page
    assert "| [What integer sums cost](docs/tables.md#what-integer-sums-cost) |" in summary_of({"joins": lines()})


def test_a_tree_is_renewed_once(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("a <!-- tables -->stale<!-- end --> b")
    assert renew_pages(tmp_path) == ["docs/tables.md", "README.md"]
    assert "stale" not in (tmp_path / "README.md").read_text()
    assert renew_pages(tmp_path) == []
