# SPDX-License-Identifier: Apache-2.0
import dataclasses
import json
from pathlib import Path

import pytest
import torch

from bitlens.results.trainings import TRAININGS
from bitlens.train import TrainError, run
from bitlens.train.float_free import Options
from bitlens.train.settings import KEYS, METHOD, REQUIRED, place_of, settings_of

RECORD = {"torch", "numpy", "python", "machine", "cores", "accelerator"}


def test_every_key_that_is_written_has_a_meaning() -> None:
    """With all settings that a configuration may leave out."""
    settings = settings_of("digits", decay="w8a8:1", init="run", bf16=True)
    own, place = (
        dataclasses.replace(settings, float_free=Options()).config(),
        place_of(torch.device("cpu")),
    )
    assert {*own, *place} == {*KEYS} | RECORD
    assert own.keys().isdisjoint(place)


def test_what_is_left_out_is_what_its_absence_means() -> None:
    config = settings_of("digits").config() | place_of(torch.device("cpu"))
    assert {*KEYS} - {*config} == {"decay", "float_free", "init", "bf16"}
    for key, meant in KEYS.items():
        assert key in config or meant.absent in (None, False)
        assert key == "method" or meant.absent is REQUIRED or config.get(key, meant.absent) == meant.absent


def test_a_run_of_an_older_method_is_not_continued(tmp_path: Path) -> None:
    run("digits", out=tmp_path, epochs=1, threads=1)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    del config["method"]
    path.write_text(json.dumps(config))
    with pytest.raises(TrainError, match=r": method must be 1 to continue this run, not 2$"):
        run("digits", out=tmp_path, epochs=1, threads=1, resume=True)


def test_a_run_writes_its_settings(tmp_path: Path) -> None:
    run("digits", out=tmp_path, bits="w1a2", epochs=1, seed=7, batch=256, rate=0.5, delay=1, threads=1)
    config = json.loads((tmp_path / "config.json").read_text())
    assert {key: value for key, value in config.items() if key not in {*RECORD, "device", "threads", "processes"}} == {
        "recipe": "digits",
        "method": METHOD,
        "bits": "w1a2g32,first=w8a8g32,last=w8a8g32,weight=dorefa,activation=clip",
        "epochs": 1,
        "seed": 7,
        "batch": 256,
        "rate": 0.5,
        "accumulate": 1,
        "wire_bits": 32,
        "decay": "w32a32g32:1",
    }


@pytest.mark.parametrize("table", TRAININGS)
def test_every_row_has_settings(table: str) -> None:
    for training in TRAININGS[table]:
        settings = settings_of(**training.arguments)
        assert (settings.recipe.name, settings.stages[-1].epochs) == (training.recipe, training.epochs)


def test_bfloat16_does_not_go_with_integers() -> None:
    with pytest.raises(TrainError, match=r"^bf16: must be off to train without float, whose products are exact; "):
        settings_of("digits", bf16=True, float_free="on")


def test_two_schedules_have_two_configurations() -> None:
    schedules = [
        {"decay": "w8a8:2,w2a2:3"},
        {"decay": "w8a8:2,w2a2:5"},
        {"decay": "w8a8:2"},
        {"decay": "w8a8:3", "epochs": 10},
        {"decay": "w2a2:3"},
        {"epochs": 10},
        {"delay": 2},
    ]
    found = [settings_of("digits", bits="w2a2", **schedule).config() for schedule in schedules]  # type: ignore[arg-type]
    assert all(found.count(config) == 1 for config in found)
    assert settings_of("digits", bits="w2a2", decay="w2a2:3").config()["epochs"] == 3
