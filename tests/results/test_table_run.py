# SPDX-License-Identifier: Apache-2.0
"""A row of a table takes its own run alone."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bitlens.results.table_run import FIGURES, ReproduceError, is_trained, read_run
from bitlens.results.trainings import TRAININGS, Training
from bitlens.train import TrainError

ROOT = Path(__file__).parents[2]
ROW = Training("C 1-2-4", "dorefa_cifar10_c", "w1a2g4", 2, decay="w32a32:1", float_free="")
CONFIG = {
    "recipe": "dorefa_cifar10_c",
    "bits": "w1a2g4,first=w8a8,last=w8a8",
    "epochs": 2,
    "seed": 0,
    "batch": 128,
    "rate": 0.002,
    "device": "cpu",
    "threads": 1,
    "machine": "x86_64",
    "decay": "w32a32g32:1",
}
RESULT = {"recipe": "dorefa_cifar10_c", "epochs": 3, "test_accuracy": 0.5, "seconds": 1.5}


def left(folder: Path, result: object = RESULT, **changed: Any) -> Path:
    """Leave a run in a folder; None takes a key of its configuration away."""
    folder.mkdir(exist_ok=True)
    config = {key: value for key, value in (CONFIG | changed).items() if value is not None}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "metrics.jsonl").write_text("".join(f'{{"epoch": {number}}}\n' for number in (1, 2, 3)))
    (folder / "result.json").write_text(result if isinstance(result, str) else json.dumps(result))
    return folder


def test_a_run_of_the_row_is_read_whatever_its_length(tmp_path: Path) -> None:
    config, result = read_run(ROW, left(tmp_path, epochs=70))
    assert (config["epochs"], config["decay"], result) == (70, "w32a32g32:1", RESULT)


@pytest.mark.parametrize(
    ("key", "found", "wanted"),
    [
        ("recipe", "dorefa_cifar10", "dorefa_cifar10_c"),
        ("seed", 1, 0),
        ("batch", 64, 128),
        ("rate", 0.5, 0.002),
        ("decay", "w8a8g32:1", "w32a32g32:1"),
        ("float_free", "masters=16,norm=l1,rounding=stochastic", "left out"),
        ("init", "runs/other", "left out"),
        ("wire_bits", 4, 32),
    ],
)
def test_another_run_is_refused(tmp_path: Path, key: str, found: Any, wanted: Any) -> None:
    run = left(tmp_path, **{key: found})
    with pytest.raises(ReproduceError) as told:
        read_run(ROW, run)
    assert str(told.value) == (
        f"{run}: {key} must be {wanted} for the row C 1-2-4, not {found}; "
        "keep this run elsewhere, or name another folder of runs"
    )


@pytest.mark.parametrize(
    "changed", [{"bf16": True}, {"processes": 2, "accumulate": 4}, {"device": "cuda", "threads": 9}, {"wire_bits": 32}]
)
def test_how_it_was_computed_may_differ(tmp_path: Path, changed: dict[str, Any]) -> None:
    config, _ = read_run(ROW, left(tmp_path, **changed))
    assert config.items() >= changed.items()


def test_other_bits_are_refused_and_the_same_in_other_words_are_not(tmp_path: Path) -> None:
    read_run(ROW, left(tmp_path, bits="w1a2g4"))
    for bits in ("w1a2g6", "w1a2g4,noise=off", "w1a2g4,first=w32a32,last=w32a32"):
        with pytest.raises(ReproduceError, match=r": bits must be w1a2g4,.* for the row C 1-2-4, not w1a2g"):
            read_run(ROW, left(tmp_path, bits=bits))


def test_a_row_may_name_another_batch_and_rate(tmp_path: Path) -> None:
    row = Training("x", "dorefa_cifar10_c", "w1a2g4", 2, decay="w32a32:1", batch=64, rate=0.5)
    read_run(row, left(tmp_path, batch=64, rate=0.5))


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ("{", "must be JSON, not damaged: "),
        ("[]", "must be a run's result, not a list"),
        ("{}", "test_accuracy or test_miou or test_perplexity must be a finite number, not missing or something else"),
        ({**RESULT, "test_accuracy": "much"}, "test_accuracy or test_miou or test_perplexity must be a finite number"),
        (
            {**RESULT, "test_accuracy": float("nan")},
            "test_accuracy or test_miou or test_perplexity must be a finite number",
        ),
        ({**RESULT, "epochs": 1.5}, "epochs must be a whole number, not 1.5"),
        ({**RESULT, "epochs": None}, "epochs must be a finite number, not missing or something else"),
        ({**RESULT, "seconds": True}, "seconds must be a finite number, not missing or something else"),
    ],
)
def test_a_damaged_result_is_told(tmp_path: Path, result: object, told: str) -> None:
    run = left(tmp_path, result)
    with pytest.raises(ReproduceError, match=f"^{re.escape(f'{run}/result.json: {told}')}"):
        read_run(ROW, run)


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    run = left(tmp_path / "machine", machine=None)
    with pytest.raises(ReproduceError, match=r"config\.json: machine must be there, not missing$"):
        read_run(ROW, run)
    run = left(tmp_path / "log")
    (run / "metrics.jsonl").unlink()
    with pytest.raises(ReproduceError, match=r"metrics\.jsonl: must be there beside the run's result, not missing$"):
        read_run(ROW, run)
    for text, told in (
        ("x", "lines must be JSON, not damaged: "),
        ('{"epoch": 1}', "must hold the run's 3 epochs, one a line, "),
    ):
        (run / "metrics.jsonl").write_text(text)
        with pytest.raises(ReproduceError, match=rf"metrics\.jsonl: {told}"):
            read_run(ROW, run)
    (run / "config.json").unlink()
    with pytest.raises(TrainError, match=r"log: must be a run's folder with config\.json, not without$"):
        read_run(ROW, run)


def test_every_published_run_is_its_row_s() -> None:
    seen = 0
    for table, trainings in TRAININGS.items():
        for training in trainings:
            if is_trained(training, ROOT / "docs/results" / table):
                _, result = read_run(training, ROOT / "docs/results" / table / training.folder)
                assert [FIGURES[key] for key in FIGURES if key in result] == [training.figure], training.row
                log = (ROOT / "docs/results" / table / training.folder / "metrics.jsonl").read_text()
                assert len(log.splitlines()) == result["epochs"], training.row
                seen += 1
    assert seen > 50
