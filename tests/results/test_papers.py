# SPDX-License-Identifier: Apache-2.0
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import bitlens
import bitlens.train
from bitlens.cli import main
from bitlens.graph.file import Program
from bitlens.results import papers
from bitlens.results import reproduce as module
from bitlens.results.papers import How, code_entropy, figure_of
from bitlens.results.reproduce import ReproduceError, draw_pictures, reproduce
from bitlens.results.trainings import TRAININGS, Training
from bitlens.train import RECIPES, TrainError
from bitlens.train.settings import METHOD

ROWS = (
    Training("short", "digits", "w1a2", 1, published=0.9, source="a paper"),
    Training("short", "digits", "w1a2", 1, seed=1, published=0.9, source="a paper"),
    Training("balanced", "digits", "w2a2,weight=balanced", 1),
    Training("float", "digits", "w32a32", 2),
)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (papers, module):
        monkeypatch.setattr(place, "TRAININGS", {"balanced": ROWS})


def test_rows_are_trained_compiled_and_run_on_the_engine(table: None, tmp_path: Path) -> None:
    out, runs = tmp_path / "docs" / "balanced.json", tmp_path / "runs"
    out.parent.mkdir()
    rows = reproduce("balanced", out, row="short", runs=runs)
    assert [(r["metric"], r["seed"]) for r in rows] == [
        ("accuracy, as trained (torch)", 0),
        ("accuracy, integers on the engine", 0),
        ("accuracy, as trained (torch)", 1),
        ("accuracy, integers on the engine", 1),
    ]
    assert {"row", "metric", "measured", "published", "source", "seed", "command", "epochs", "seconds"} < {*rows[0]}
    assert {"machine", "date", "log", "method", "training_seconds", "trained_on"} < {*rows[0]}
    assert {r["method"] for r in rows} == {METHOD}
    assert [r["published"] for r in rows] == [None, 0.9, None, 0.9]
    assert rows[1]["source"] == "a paper"
    assert rows[0]["measured"] != rows[2]["measured"]  # another seed is another net
    log = out.parent / rows[2]["log"]
    assert json.loads(log.read_text().splitlines()[-1])["test_accuracy"] == rows[2]["measured"]
    # The figure is the program's own, counted here with golden.
    images, labels = bitlens.results.line.test_images("digits")
    golden = Program.load(runs / "balanced" / "short_seed1" / "program.bitlens")
    (scores,) = golden.run(images).values()
    assert rows[3]["measured"] == pytest.approx((scores.reshape(len(labels), -1).argmax(1) == labels).mean(), abs=1e-6)


def test_a_trained_run_is_not_trained_again(table: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, runs = tmp_path / "balanced.json", tmp_path / "runs"
    first = reproduce("balanced", out, row="float", runs=runs)
    assert [r["metric"] for r in first] == ["accuracy, as trained (torch)"]  # no program of a float net
    monkeypatch.setattr(papers, "_train_row", None)
    again = reproduce("balanced", out, row="float", runs=runs, again=True)
    assert [r["measured"] for r in again] == [r["measured"] for r in first]
    (picture,) = draw_pictures("balanced", tmp_path / "pictures", file=out)
    assert picture.read_text().count("<svg") == 1


def line(row: str, seed: int, measured: float = 0.5) -> dict[str, object]:
    told = {"epochs": 1, "method": 2, "trained_on": "t", "machine": "m", "date": "2026-11-28", "source": "", "log": "l"}
    return {"row": row, "metric": "accuracy, integers on the engine", "measured": measured, "seed": seed, **told}


def test_what_is_not_trained_may_be_left_out_and_is_kept(table: None, tmp_path: Path) -> None:
    out, runs = tmp_path / "balanced.json", tmp_path / "runs"
    reproduce("balanced", out, row="float", runs=runs)
    old = [line("short", 1), line("balanced", 0), line("float", 0), line("of before", 0)]
    out.write_text(json.dumps(old))
    rows = reproduce("balanced", out, runs=runs, train=False, again=True)
    assert [(r["row"], r["seed"]) for r in rows] == [("short", 1), ("balanced", 0), ("float", 0), ("of before", 0)]
    assert rows[2]["metric"] == "accuracy, as trained (torch)"  # measured again
    assert [rows[0], rows[1], rows[3]] == [old[0], old[1], old[3]]
    assert json.loads(out.read_text()) == rows
    assert not (runs / "balanced" / "short_seed0").exists()


def test_without_a_trained_run_nothing_is_written(table: None, tmp_path: Path) -> None:
    out, runs = tmp_path / "balanced.json", tmp_path / "runs"
    sentence = (
        f"^{runs}/balanced: must hold a finished run of a wanted row, not none; train without --trained, or name the "
        "folder of runs$"
    )
    with pytest.raises(ReproduceError, match=sentence):
        reproduce("balanced", out, runs=runs, train=False)
    assert not out.exists()
    out.write_text(json.dumps([line("float", 0)]))
    for again in (False, True):
        with pytest.raises(ReproduceError, match=sentence):
            reproduce("balanced", out, runs=runs, train=False, again=again)
    assert json.loads(out.read_text()) == [line("float", 0)]
    rows = reproduce("balanced", out, row="float", runs=runs, train=False)  # the file holds all that is wanted
    assert rows == [line("float", 0)]


def test_a_seed_that_a_row_lacks_is_trained(table: None, tmp_path: Path) -> None:
    out, runs = tmp_path / "balanced.json", tmp_path / "runs"
    out.write_text(json.dumps([line("short", 1, 0.25), line("float", 0, 0.75)]))
    rows = reproduce("balanced", out, row="short", runs=runs, threads=1)
    assert [(r["row"], r["seed"]) for r in rows] == [("short", 0), ("short", 0), ("short", 1), ("float", 0)]
    assert [rows[2], rows[3]] == [line("short", 1, 0.25), line("float", 0, 0.75)]
    assert rows[0]["trained_on"].endswith(", 1 thread")
    assert {path.name for path in (runs / "balanced").iterdir()} == {"short_seed0"}
    assert rows[0]["seconds"] == rows[1]["seconds"]


def test_another_run_in_a_row_s_folder_is_refused(table: None, tmp_path: Path) -> None:
    out, runs = tmp_path / "balanced.json", tmp_path / "runs"
    reproduce("balanced", out, row="float", runs=runs)
    (runs / "balanced" / "float_seed0").rename(runs / "balanced" / "short_seed1")
    with pytest.raises(ReproduceError, match=r"short_seed1: bits must be w1a2g32,.* for the row short, not w32a32g32,"):
        reproduce("balanced", out, row="short", runs=runs, train=False)
    assert [r["row"] for r in json.loads(out.read_text())] == ["float"]


def test_a_run_goes_on_with_its_threads_and_device(table: None, tmp_path: Path) -> None:
    out, runs = tmp_path / "balanced.json", tmp_path / "runs"
    before = torch.get_num_threads()
    flags = ["--row", "float", "--threads", str(before + 1), "--device", "cpu", "--cache", str(tmp_path)]
    assert main(["reproduce", "balanced", "-o", str(out), "--runs", str(runs), *flags]) == 0
    run = runs / "balanced" / "float_seed0"
    (run / "result.json").unlink()  # as if it had been stopped
    rows = reproduce("balanced", out, row="float", runs=runs, again=True)
    assert rows[0]["trained_on"].endswith(f"{before + 1} threads")
    assert torch.get_num_threads() == before
    (run / "result.json").unlink()
    with pytest.raises(TrainError, match=f"threads must be {before + 1} to continue this run, not {before}$"):
        reproduce("balanced", out, row="float", runs=runs, again=True, threads=before)


def test_a_run_is_trained_as_the_flags_say(table: None, tmp_path: Path) -> None:
    out, runs = tmp_path / "balanced.json", tmp_path / "runs"
    flags = ["--row", "float", "--threads", "1", "--bf16", "--evaluate-every", "9"]
    assert main(["reproduce", "balanced", "-o", str(out), "--runs", str(runs), *flags]) == 0
    run = runs / "balanced" / "float_seed0"
    assert json.loads((run / "config.json").read_text())["bf16"] is True
    assert json.loads(out.read_text())[0]["trained_on"].endswith(", 1 thread, bfloat16")
    *others, last = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert "test_accuracy" in last
    assert others
    assert not any("test_accuracy" in line for line in others)


def test_a_run_in_bfloat16_goes_on_so(table: None, tmp_path: Path) -> None:
    out, runs = tmp_path / "balanced.json", tmp_path / "runs"
    reproduce("balanced", out, row="float", runs=runs, threads=1)
    run = runs / "balanced" / "float_seed0"
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"bf16": True}))
    (run / "result.json").unlink()
    reproduce("balanced", out, row="float", runs=runs, again=True)
    assert json.loads((run / "config.json").read_text())["bf16"] is True


@pytest.mark.parametrize(
    ("recipe", "there", "taken"),
    [
        ("plain", "camvid", "camvid"),  # the recipe says so, not its name
        ("plain", "plain", ""),
        ("gru_ptb", "ptb", "ptb"),
        ("digits", "digits", ""),  # reads no data
    ],
)
def test_a_recipe_reads_its_data_set_of_a_folder_of_all(
    recipe: str, there: str, taken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(*, data: Path | None, **arguments: Any) -> None:
        given.append(data)
        raise KeyError("far enough")

    given: list[Path | None] = []
    (tmp_path / there).mkdir()
    monkeypatch.setitem(RECIPES, "plain", replace(RECIPES["digits"], data_set="camvid"))
    monkeypatch.setattr(papers, "TRAININGS", {"balanced": (Training("row", recipe, "w1a2", 1),)})
    monkeypatch.setattr(bitlens.train, "run", train)
    (measure,) = papers.measures("balanced", tmp_path, tmp_path, How()).values()
    for data in (tmp_path, None):
        with pytest.raises(KeyError, match="far enough"):
            measure(data)
    assert given == [tmp_path / taken, None]


def test_damaged_lines_are_told(table: None, tmp_path: Path) -> None:
    out = tmp_path / "balanced.json"
    for change, told in (
        ({"seed": None}, "row 1: seed is no whole number"),
        ({"seed": True}, "row 1: seed is no whole number"),
        ({"epochs": 1.5}, "row 1: epochs is no whole number"),
        ({"method": None}, "row 1: method is no whole number"),
        ({"trained_on": None}, "row 1 has no trained_on"),
        ({"measured": "much"}, "row 1: measured is no finite number"),
        ({"measured": True}, "row 1: measured is no finite number"),
        ({"measured": 10**400}, "row 1: measured is no finite number"),
        ({"measured": float("nan")}, "row 1: measured is no finite number"),
        ({"published": "much"}, "row 1: published is no finite number"),
        ({"published": float("inf")}, "row 1: published is no finite number"),
    ):
        out.write_text(json.dumps([line("short", 0) | change]))
        with pytest.raises(ReproduceError, match=f"must be a table of figures, not another file \\({told}\\)$"):
            draw_pictures("balanced", tmp_path, file=out)
    out.write_text('[{"row": "short"}]')
    assert main(["reproduce", "balanced", "--pictures", str(tmp_path / "pictures"), "-o", str(out)]) == 2


def test_the_entropy_of_codes_is_told_where_families_are_compared(table: None, tmp_path: Path) -> None:
    rows = reproduce("balanced", tmp_path / "balanced.json", row="balanced", runs=tmp_path / "runs")
    (entropy,) = [r["measured"] for r in rows if r["metric"].startswith("entropy")]
    assert 1.9 < entropy <= 2.0  # four levels, equally often
    program = Program.load(tmp_path / "runs" / "balanced" / "balanced_seed0" / "program.bitlens")
    with pytest.raises(ValueError, match="weights: a layer must have at most 2 levels"):
        code_entropy(program, 1)


def test_a_table_without_rows_is_not_drawn(table: None, tmp_path: Path) -> None:
    with pytest.raises(ReproduceError, match=r"nothing\.json: must hold rows of balanced to be drawn"):
        draw_pictures("balanced", tmp_path, file=tmp_path / "nothing.json")


def test_every_row_has_one_folder_a_seed_and_a_figure() -> None:
    for name, trainings in TRAININGS.items():
        folders = [training.folder for training in trainings]
        assert len({*folders}) == len(folders), name
        assert len({figure_of(t).partition(",")[0] for t in trainings}) == 1
        for training in trainings:
            assert (training.published is None) or training.source, training.row
    compiled = {t.row for t in TRAININGS["dorefa"] if t.compiles}
    assert {"C 1-2-4", "C 8-8-8", "C 1-2-4, without noise", "C 1-2-4, first and last too"} <= compiled
    assert not {"C 32-32-32", "C 1-2-4, float ends", "C 1-2-4, first too"} & compiled
