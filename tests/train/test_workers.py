# SPDX-License-Identifier: Apache-2.0
"""Batches made by other processes: the same ones, and no process outlives the trainer."""

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from bitlens.data import DataError
from bitlens.train import TrainError, run
from bitlens.train.checkpoint import load_checkpoint
from bitlens.train.workers import Workers
from face_sets import record, write_set


class Told:
    """Makes what it was asked for, and tells who made it; step 5 of epoch 1 fails."""

    steps = 4

    def make(self, epoch: int, step: int) -> tuple[int, int, int, str | None]:
        if (epoch, step) == (1, 2):
            raise DataError("told: picture must be whole, not damaged")
        return epoch, step, os.getpid(), os.environ.get("OPENBLAS_NUM_THREADS")


def _missing() -> Told:
    raise DataError("told: folder must exist, not be missing")


def _dies() -> Told:
    os._exit(3)


@pytest.fixture
def three() -> Iterator[Workers[tuple[int, int, int, str | None]]]:
    with Workers(Told, 3, steps=4) as workers:
        yield workers


def test_batches_come_in_order_from_every_process(three: Workers[tuple[int, int, int, str | None]]) -> None:
    own = os.environ.get("OPENBLAS_NUM_THREADS")
    asked = [(0, step) for step in range(4)] + [(1, 0), (1, 1)]
    made = [three.make(*key) for key in asked]
    assert [answer[:2] for answer in made] == asked
    assert len({answer[2] for answer in made[:3]}) == 3
    assert os.getpid() not in {answer[2] for answer in made}
    assert {answer[3] for answer in made} == {"1"}
    assert os.environ.get("OPENBLAS_NUM_THREADS") == own
    assert three.make(3, 1)[:2] == (3, 1)  # elsewhere: begun anew
    assert three.make(3, 2)[:2] == (3, 2)
    assert three.make(0, 0)[:2] == (0, 0)


def test_what_a_maker_raises_is_raised_here(three: Workers[tuple[int, int, int, str | None]]) -> None:
    assert three.make(1, 1)[:2] == (1, 1)
    with pytest.raises(DataError, match=r"^told: picture must be whole, not damaged$"):
        three.make(1, 2)


def test_a_maker_that_does_not_open_is_told() -> None:
    with (
        Workers(_missing, 2, steps=4) as workers,
        pytest.raises(DataError, match=r"^told: folder must exist, not be missing$"),
    ):
        workers.make(0, 0)


def test_a_process_that_dies_is_told() -> None:
    sentence = r"^workers: process 0 must live, not end with exit code 3; if memory has run out, take fewer$"
    with Workers(_dies, 1, steps=4) as workers, pytest.raises(TrainError, match=sentence):
        workers.make(0, 0)


def test_a_run_is_the_same_for_any_number_of_workers(tmp_path: Path) -> None:
    lines = [record(f"A_{n}", "train", (30, 30, 50, 60), (8.0 * n, 3.0, 1.0)) for n in range(12)]
    write_set(tmp_path, "ytfaces", [*lines, record("B_0", "val", (30, 30, 50, 60), (1.0, 2.0, 3.0))])
    write_set(tmp_path, "helen", [record("D_0", "train", (30, 30, 50, 60), (-9.0, 2.0, 1.0))])
    for workers in (0, 1, 3):
        run("face_pose", tmp_path, tmp_path / str(workers), epochs=2, batch=4, threads=1, workers=workers)
    states = [load_checkpoint(tmp_path / name / "checkpoint.pt")["net"] for name in ("0", "1", "3")]
    for state in states[1:]:
        assert all(torch.equal(state[name], value) for name, value in states[0].items())
    assert not multiprocessing.active_children()


ORPHANS = """
import sys, time
from test_workers import Told
from bitlens.train.workers import Workers
if __name__ == "__main__":
    with Workers(Told, 2, steps=4) as workers:
        print(*(workers.make(0, step)[2] for step in range(2)), flush=True)
        time.sleep(600)
"""


def test_processes_end_with_the_trainer(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(ORPHANS)
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    trainer = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": path})
    assert trainer.stdout is not None
    pids = [int(word) for word in trainer.stdout.readline().split()]
    assert len({*pids}) == 2
    assert all(_lives(pid) for pid in pids)
    trainer.kill()
    trainer.communicate()
    until = time.monotonic() + 30
    while any(_lives(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(_lives(pid) for pid in pids)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_workers_are_for_recipes_whose_batches_are_made(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match=r"^workers: must be 0 for digits, whose batches are read, not 2$"):
        run("digits", out=tmp_path / "run", workers=2)
    with pytest.raises(TrainError, match=r"^workers: must be 0 to 1024, not -1$"):
        run("face_pose", out=tmp_path / "run", workers=-1)
    assert not (tmp_path / "run").exists()
