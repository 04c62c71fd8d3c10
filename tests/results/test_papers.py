# SPDX-License-Identifier: Apache-2.0
import json
from pathlib import Path

import pytest

import bitlens
from bitlens.graph.file import Program
from bitlens.results import papers
from bitlens.results import reproduce as module
from bitlens.results.papers import code_entropy, figure_of
from bitlens.results.reproduce import ReproduceError, draw_pictures, reproduce
from bitlens.results.trainings import TRAININGS, Training

ROWS = (
    Training("short", "digits", "w1a2", 1, published=0.9, source="a paper"),
    Training("short", "digits", "w1a2", 1, seed=1, published=0.9, source="a paper"),
    Training("balanced", "digits", "w2a2,weight=balanced", 1),
    Training("float", "digits", "w32a32", 1),
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
    assert {"machine", "date", "log", "training_seconds", "trained_on"} < {*rows[0]}
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
    monkeypatch.setattr(papers, "_train", None)
    again = reproduce("balanced", out, row="float", runs=runs, again=True)
    assert [r["measured"] for r in again] == [r["measured"] for r in first]
    (picture,) = draw_pictures("balanced", tmp_path / "pictures", file=out)
    assert picture.read_text().count("<svg") == 1


def test_what_is_not_trained_may_be_left_out(table: None, tmp_path: Path) -> None:
    out, runs = tmp_path / "balanced.json", tmp_path / "runs"
    reproduce("balanced", out, row="float", runs=runs)
    assert [r["row"] for r in reproduce("balanced", out, runs=runs, train=False)] == ["float"]
    assert not (runs / "balanced" / "short_seed0").exists()


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
