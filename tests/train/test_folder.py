# SPDX-License-Identifier: Apache-2.0
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bitlens.train import TrainError, load_run, run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of one epoch."""
    out = tmp_path_factory.mktemp("trained")
    run("digits", out=out, bits="w1a2", epochs=1, batch=256, threads=1)
    return out


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda config: [1], "must be a run's configuration, not a list"),
        (lambda config: {}, "recipe must be there, not missing"),
        (lambda config: {key: config[key] for key in config if key != "batch"}, "batch must be there, not missing"),
        (lambda config: config | {"bits": 3}, "bits must be a string, not 3"),
        (lambda config: config | {"batch": "32"}, 'batch must be a whole number of at least 1, not "32"'),
        (lambda config: config | {"batch": 0}, "batch must be a whole number of at least 1, not 0"),
        (lambda config: config | {"seed": -5}, "seed must be a whole number of at least 0, not -5"),
        (lambda config: config | {"threads": True}, "threads must be a whole number of at least 1, not true"),
        (lambda config: config | {"rate": float("nan")}, "rate must be a positive number, not NaN"),
        (lambda config: config | {"rate": 0}, "rate must be a positive number, not 0"),
        (lambda config: config | {"bf16": 1}, "bf16 must be true or false, not 1"),
        (lambda config: config | {"decay": None}, "decay must be a string, not null"),
    ],
)
def test_another_file_is_no_configuration(
    trained: Path, tmp_path: Path, change: Callable[[Any], Any], rule: str
) -> None:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    for action in (lambda: run("digits", out=tmp_path, resume=True), lambda: load_run(tmp_path)):
        with pytest.raises(TrainError) as caught:
            action()
        assert str(caught.value) == f"{path}: {rule}"


def test_a_folder_without_a_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(TrainError) as caught:
        load_run(tmp_path)
    assert str(caught.value) == f"{tmp_path}: must be a run's folder with config.json, not without"


HOLDS = """
import sys
from bitlens.train import run
from bitlens.train.loop import Trainer

finish = Trainer._finish_epoch

def wait(self):
    finish(self)
    print("trained", flush=True)
    sys.stdin.readline()

Trainer._finish_epoch = wait
run("digits", out=sys.argv[1], bits="w1a2", epochs=2, threads=1)
"""


def test_a_folder_is_of_one_training_at_a_time(tmp_path: Path) -> None:
    out = tmp_path / "run"
    other = subprocess.Popen([sys.executable, "-c", HOLDS, str(out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout is not None
    while b"trained" not in (line := other.stdout.readline()):
        assert line
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    for resume in (True, False):
        with pytest.raises(TrainError) as caught:
            run("digits", out=out, bits="w1a2", epochs=2, threads=1, resume=resume)
        assert str(caught.value) == f"{out}: must be of one training at a time, not of another that goes on"
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    other.communicate(b"\n\n")
    assert other.returncode == 0
    run("digits", out=out, bits="w1a2", epochs=2, threads=1, resume=True)
