# SPDX-License-Identifier: Apache-2.0
"""The page of the papers' tables and the README say what `docs/results/TABLE.json` holds."""

import json
from pathlib import Path

import pytest

from bitlens.results.orderings import Statement
from bitlens.results.papers import figure_of
from bitlens.results.table_pages import _TOLD, TITLES, _sentence, page_of, read_tables, renew_pages, summary_of
from bitlens.results.table_run import ReproduceError, read_run
from bitlens.results.trainings import TRAININGS
from bitlens.train import read_config
from bitlens.train.settings import settings_of

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
    common = {
        "machine": "m",
        "date": "2026-11-27",
        "trained_on": "t",
        "epochs": 3,
        "method": 1,
        "log": "l",
        "published": None,
        "source": "",
    }
    values = {"ResNet-20 2/2, shared grid": (0.70, 0.72), "ResNet-20 2/2, float sums": (0.75, 0.75)}
    return [
        {"row": row, "metric": f"accuracy, {form}", "measured": value, "seed": seed, **common}
        for row, seeds in values.items()
        for seed, value in enumerate(seeds)
        for form in ("as trained (torch)", *(["integers on the engine"] if "shared" in row else []))
    ]


def test_a_page_holds_rows_and_judged_statements() -> None:
    page = page_of({"joins": lines()})
    assert (
        "| ResNet-20 2/2, shared grid | 71.00 % (70.00 to 72.00) | 71.00 % (70.00 to 72.00) | – | 3 | 1 | 2 |" in page
    )
    assert "| ResNet-20 2/2, float sums | 75.00 % (75.00 to 75.00) | – | – | 3 | 1 | 2 |" in page
    sentence = "ResNet-20 2/2, shared grid within 1 point of ResNet-20 2/2, float sums"
    assert f"| {sentence} | integer sums cost at most 1 point | -4.00 points | 2.00 points | **no** |" in page
    told = "| [What integer sums cost](docs/tables.md#what-integer-sums-cost) |"
    row = f"{told} ResNet-20 2/2, shared grid: accuracy 71.00 % | 0 | 1 | 0 | 0 | 0 | 0 |"
    assert row in summary_of({"joins": lines()})


def test_rows_that_were_trained_otherwise_are_told() -> None:
    changed = [{**line, "epochs": 9} if "float" in str(line["row"]) else line for line in lines()]
    assert "| -4.00 points | 2.00 points | not comparable |" in page_of({"joins": changed})
    assert summary_of({"joins": changed}).endswith(" | 0 | 0 | 0 | 1 | 0 | 0 |\n")


def test_seeds_of_an_older_method_do_not_count() -> None:
    mixed = [{**line, "method": 1 + (line["seed"] == 0)} for line in lines()]
    page = page_of({"joins": mixed})
    assert "| ResNet-20 2/2, shared grid | 70.00 % | 70.00 % | – | 3 | 2 | 1 |" in page
    assert "| integer sums cost at most 1 point | -5.00 points | – | **no**, of one seed |" in page  # of the same seeds


def test_what_is_of_one_seed_is_told() -> None:
    alone = [line for line in lines() if line["seed"] == 0]
    page = page_of({"joins": alone})
    assert "| integer sums cost at most 1 point | -5.00 points | – | **no**, of one seed |" in page
    assert summary_of({"joins": alone}).endswith(" | 0 | 1 | 0 | 0 | 0 | 1 |\n")
    other = [{**line, "row": "another"} for line in lines() if "shared" in str(line["row"])]
    page = page_of({"joins": [*alone, *other]})
    assert (
        "| integer sums cost at most 1 point | -5.00 points | 2.00 points (of other rows) | **no**, of one seed |"
        in page
    )


def test_what_is_not_measured_is_told() -> None:
    some = [line for line in lines() if "float" in str(line["row"])]
    page = page_of({"joins": some, "beyond": []})
    assert "\nNot measured: ResNet-20 2/2, shared grid.\n" in page
    assert " which are of hundreds of epochs." in page
    assert page.endswith(" No row is measured.\n")
    assert "Not measured" not in page_of({"joins": lines()})
    assert " | – | 0 | 0 | 0 | 0 | 12 | 0 |\n" in summary_of({"joins": some, "beyond": []})


def test_a_folder_without_the_source_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        ReproduceError, match=f"^{tmp_path}: must be the root of the source, with README.md, not another"
    ):
        renew_pages(tmp_path)
    (tmp_path / "README.md").touch()
    (tmp_path / "docs/results").mkdir(parents=True)
    (tmp_path / "docs/results/fcn.json").write_text('[{"row":')
    with pytest.raises(ReproduceError, match=r"docs/results/fcn\.json: must be a table of figures, not another file"):
        renew_pages(tmp_path)
    (tmp_path / "docs/results/fcn.json").unlink()
    foreign = [{**line, "row": "x"} for line in lines()]
    (tmp_path / "docs/results/joins.json").write_text(json.dumps(foreign))
    with pytest.raises(ReproduceError, match=r"docs/results/joins\.json: rows must be of the table joins, not x$"):
        renew_pages(tmp_path)
    assert [path.name for path in (tmp_path / "docs").iterdir()] == ["results"]


@pytest.mark.parametrize("table", TITLES)
def test_the_command_of_a_row_trains_as_long_as_it_was_trained(table: str) -> None:
    for training in TRAININGS[table]:
        for line in TABLES[table]:
            if (line["row"], line["seed"]) == (training.row, training.seed):
                stages = settings_of(**training.arguments).stages
                assert line["epochs"] == sum(stage.epochs for stage in stages)
                config = read_config(ROOT / "docs/results" / table / training.folder)
                flags = (
                    line["command"].removeprefix(f'bitlens reproduce {table} --data DIR --row "{training.row}"').split()
                )
                assert ("--bf16" in flags, "cuda" in flags) == (
                    config.get("bf16", False),
                    bool(config.get("accelerator")),
                )


def test_margins_are_told_in_points() -> None:
    sentences = [
        _sentence(Statement("a", "b", margin=margin), "accuracy") for margin in (-0.01, -0.015, 0.01, 0.02, 0.0)
    ]
    assert sentences == [
        "a within 1 point of b",
        "a within 1.5 points of b",
        "a better than b by 1 point",
        "a better than b by 2 points",
        "a better than b",
    ]
    assert _sentence(Statement("a", "b", margin=-1.5), "perplexity") == "a within 1.5 of b"
    assert _sentence(Statement("a", 152), "perplexity") == "a: at most 152.0"
    assert _sentence(Statement("a", 0.9), "accuracy") == "a: at least 90.00 %"


@pytest.mark.parametrize("table", TITLES)
def test_logs_are_of_their_rows(table: str) -> None:
    measured = {(line["row"], line["seed"]): line for line in TABLES[table]}
    for training in TRAININGS[table]:
        if (training.row, training.seed) in measured:
            config, _ = read_run(training, ROOT / "docs/results" / table / training.folder)
            assert measured[training.row, training.seed]["method"] == config.get("method", 1)


def test_the_lstm_without_tanh_unlearned_as_the_page_says() -> None:
    log = ROOT / "docs/results/recurrent/lstm_22_uniform-max_seed0/metrics.jsonl"
    epochs = [json.loads(line)["train_perplexity"] for line in log.read_text().splitlines()]
    assert (len(epochs), epochs.index(min(epochs)), round(min(epochs))) == (8, 1, 316)
    assert epochs[-1] > 400
    own = [r for r in TABLES["recurrent"] if r["row"] == "LSTM 2/2 uniform-max" and r["metric"].startswith("entropy")]
    assert [r["measured"] < 1 for r in own] == [True]


@pytest.mark.parametrize("table", TITLES)
def test_what_is_published_stands_beside_the_judged_figure_of_its_row(table: str) -> None:
    runs = {(training.row, training.seed): training for training in TRAININGS[table]}
    for line in TABLES[table]:
        run = runs[line["row"], line["seed"]]
        told = (run.published, run.source) if line["metric"] == figure_of(run) else (None, "")
        assert (line["published"], line["source"]) == told


def test_a_tree_is_renewed_once(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("a <!-- tables -->stale<!-- end --> b")
    assert renew_pages(tmp_path) == ["docs/tables.md", "README.md"]
    assert "stale" not in (tmp_path / "README.md").read_text()
    assert renew_pages(tmp_path) == []
