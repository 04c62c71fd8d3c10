# SPDX-License-Identifier: Apache-2.0
import ast
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from tqdm import tqdm

from bitlens.cli import main
from bitlens.results import papers
from bitlens.results import reproduce as module
from bitlens.results import side_by_side as processes
from bitlens.results.reproduce import ReproduceError, reproduce
from bitlens.results.side_by_side import LOG, side_by_side
from bitlens.results.trainings import TRAININGS, Training

ROWS = (
    Training("first", "digits", "w1a2", 1),
    Training("float", "digits", "w32a32", 1),
    Training("float", "digits", "w32a32", 1, seed=1),
)
SCRIPT = """
import json, os, signal, sys, time
from pathlib import Path
from bitlens.core.files import write_atomically
from bitlens.quant import QuantError
from bitlens.results import side_by_side as module
from bitlens.results.side_by_side import side_by_side
from bitlens.results.trainings import Training

module._PATIENCE = 2
RUNS = Path(sys.argv[1])

def train(training, together):
    print("this is", training.row)
    write_atomically(RUNS / f"{training.folder}.json", json.dumps([os.getpid(), time.time()]).encode())
    if training.row == "refused":
        raise QuantError("width: must be 2, not 3")
    if training.row == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if training.row == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while training.row == "last" and not all((RUNS / f"{row}_seed0.json").exists() for row in ("long", "stubborn")):
        time.sleep(0.1)
    try:
        time.sleep(600 if training.row in ("long", "stubborn") else 1)
    finally:
        (RUNS / f"{training.folder}.end").write_text(str(time.time()))

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    rows = [Training(row, "digits", "w1a2", 2) for row in sys.argv[3:]]
    found = side_by_side(rows, train, RUNS, int(sys.argv[2]))
    for training, error in found:
        print([training.row, error and f"{type(error).__name__}: {error}"], flush=True)
        if training.row == "last":
            found.close()
            pids = [json.loads(path.read_text())[0] for path in RUNS.glob("*.json")]
            print([pid for pid in pids if Path(f"/proc/{pid}").exists()])
"""


def begin(folder: Path, jobs: int, *rows: str) -> "subprocess.Popen[str]":
    """Start the script in a group of its own, as a shell does."""
    (folder / "script.py").write_text(SCRIPT)
    line = [sys.executable, str(folder / "script.py"), str(folder), str(jobs), *rows]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def begun(path: Path) -> int:
    """Wait until a row has begun; return its process."""
    for _ in range(600):
        if path.is_file():
            return int(json.loads(path.read_text())[0])
        time.sleep(0.1)
    raise AssertionError(path)


def gone(process: int) -> bool:
    """Whether a process ends within half a minute."""
    for _ in range(300):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_a_row_that_fails_or_dies_does_not_keep_the_others(tmp_path: Path) -> None:
    output, errors = begin(tmp_path, 2, "refused", "killed", "a", "b", "c").communicate(timeout=240)
    log = tmp_path / "killed_seed0" / LOG
    assert dict(map(ast.literal_eval, output.splitlines())) == {
        "refused": "QuantError: width: must be 2, not 3",
        "killed": f"ReproduceError: {log}: the process that trains must live, not end with exit code -9; "
        "if memory has run out, take fewer jobs",
        "a": None,
        "b": None,
        "c": None,
    }
    assert "this is" not in output + errors  # a row talks to its log
    assert "Traceback" not in errors
    assert (tmp_path / "a_seed0" / LOG).read_text() == "this is a\n"
    assert "QuantError: width" in (tmp_path / "refused_seed0" / LOG).read_text()
    begins = {row: json.loads((tmp_path / f"{row}_seed0.json").read_text())[1] for row in "abc"}
    ends = {row: float((tmp_path / f"{row}_seed0.end").read_text()) for row in "abc"}
    assert min(ends.values()) <= begins["c"]  # never three at once


def test_what_still_trains_is_ended_with_the_generator(tmp_path: Path) -> None:
    """Before `close` returns: what is half-written is removed, and one that does not obey is killed."""
    with begin(tmp_path, 3, "long", "stubborn", "last") as first:
        output, errors = first.communicate(timeout=120)
    assert "long" not in output
    assert output.splitlines()[-1] == "[]"
    assert first.returncode == 0
    assert "Traceback" not in errors
    assert (tmp_path / "long_seed0.end").is_file()
    assert not (tmp_path / "stubborn_seed0.end").is_file()


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT])
def test_no_row_trains_on_alone(by: signal.Signals, tmp_path: Path) -> None:
    with begin(tmp_path, 2, "long", "second long") as first:
        process = begun(tmp_path / "long_seed0.json")
        if by == signal.SIGINT:  # Ctrl-C reaches all of the group, those too that are just beginning
            os.killpg(first.pid, by)
        else:
            first.send_signal(by)
        _, errors = first.communicate(timeout=60)
    assert first.returncode != 0
    assert gone(process)
    assert errors.count("Traceback") == (by == signal.SIGINT)  # the first one's alone


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (papers, module):
        monkeypatch.setattr(place, "TRAININGS", {"balanced": ROWS})


def test_rows_side_by_side_are_those_of_one_after_the_other(table: None, tmp_path: Path) -> None:
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    alone = reproduce("balanced", one, runs=tmp_path / "a", threads=1)
    flags = ["--runs", str(tmp_path / "b"), "--jobs", "9", "--threads", "1"]
    assert main(["reproduce", "balanced", "-o", str(two), *flags]) == 0
    rows = json.loads(two.read_text())
    times = ("seconds", "training_seconds", "log")
    assert [{**row, **dict.fromkeys(times)} for row in rows] == [{**row, **dict.fromkeys(times)} for row in alone]
    for row in ROWS:
        log = (tmp_path / "b" / "balanced" / row.folder / LOG).read_text()
        assert log.startswith(f"digits {row.bits}")
        own, other = (tmp_path / side / "balanced" / row.folder / "weights.npz" for side in "ab")
        assert own.read_bytes() == other.read_bytes()


def damage(run: Path) -> None:
    """A checkpoint without its configuration."""
    run.mkdir(parents=True)
    (run / "checkpoint.pt").write_text("no checkpoint")


def another_run(run: Path) -> None:
    """A finished run of another row."""
    reproduce("balanced", run.parents[2] / "other.json", row="float", runs=run.parents[1], threads=1)
    (run.parent / "float_seed0").rename(run)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (damage, "first_seed0: must be a run's folder with config.json, not without"),
        (another_run, "first_seed0: bits must be w1a2g32,"),
    ],
)
def test_rows_that_can_be_had_are_measured_and_the_others_told(
    spoil: Callable[[Path], None], told: str, table: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, out = tmp_path / "runs", tmp_path / "out.json"
    spoil(runs / "balanced" / "first_seed0")
    line = ["reproduce", "balanced", "-o", str(out), "--runs", str(runs), "--jobs", "2"]
    assert main(line) == 2
    assert [(row["row"], row["seed"]) for row in json.loads(out.read_text())] == [("float", 0), ("float", 1)]
    at_once, last = capsys.readouterr().err.splitlines()
    assert at_once.startswith(f"first, seed 0: {runs}/balanced/{told}")
    assert last == f"balanced: 1 of 3 rows could not be measured, first {at_once}"


def test_what_is_no_row_s_fault_ends_all(table: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*arguments: object) -> None:
        raise ModuleNotFoundError("no onnx", name="onnx")

    monkeypatch.setattr(papers, "_integers", missing)
    with pytest.raises(ModuleNotFoundError):
        reproduce("balanced", tmp_path / "out.json", runs=tmp_path / "runs", jobs=2)
    (tmp_path / "a file").write_text("")
    with pytest.raises(NotADirectoryError):
        reproduce("balanced", tmp_path / "out.json", runs=tmp_path / "a file", jobs=2)


class Bar(tqdm):  # type: ignore[type-arg]
    seen: ClassVar[list[tuple[float, float]]] = []

    def refresh(self, *arguments: Any, **more: Any) -> None:
        self.seen.append((self.n, self.total or 0))


def test_runs_go_on_with_their_threads_and_the_rest_share_the_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [Training(row, "digits", "w32a32", 1) for row in "abc"]  # nothing to compile
    for place in (papers, module):
        monkeypatch.setattr(place, "TRAININGS", {"balanced": rows})
    out, runs, cores = tmp_path / "out.json", tmp_path / "runs", torch.get_num_threads()
    reproduce("balanced", out, runs=runs, row="b", threads=cores + 1)
    run = runs / "balanced" / "b_seed0"
    done = (run / "metrics.jsonl").read_text().count("\n")
    (run / "result.json").unlink()  # as if it had been stopped
    Bar.seen.clear()
    given: dict[str, Any] = {}

    def open_bar(**arguments: Any) -> Bar:
        given.update(arguments)
        return Bar(**arguments)

    monkeypatch.setattr(processes, "tqdm", open_bar)
    reproduce("balanced", out, runs=runs, jobs=2, again=True)
    threads = [json.loads((runs / "balanced" / row.folder / "config.json").read_text())["threads"] for row in rows]
    share = max(1, cores // 2)
    assert threads == [share, cores + 1, share]
    assert given["initial"] == done
    assert given["total"] == Bar.seen[-1][0] == Bar.seen[-1][1] == sum(processes._length(row) for row in rows)
    # What is trained is measured again.
    trained = [(runs / "balanced" / row.folder / "weights.npz").stat().st_mtime_ns for row in rows]
    out.unlink()
    assert len(reproduce("balanced", out, runs=runs, jobs=2, again=True)) == 3
    assert trained == [(runs / "balanced" / row.folder / "weights.npz").stat().st_mtime_ns for row in rows]


def test_lengths_are_those_of_all_stages() -> None:
    assert processes._length(Training("row", "digits", "w1a2", 2, decay="w32a32:3,w4a4:4")) == 9
    assert {processes._length(training) for training in TRAININGS["fcn"]} == {14}  # as long with decay as without
    assert processes._length(Training("row", "digits", "w1a2", 2, decay="w32a32")) == 2  # the stages share its epochs


def test_nothing_wanted_is_nothing_trained(tmp_path: Path) -> None:
    assert list(side_by_side([], print, tmp_path, 2)) == []


def test_jobs_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ReproduceError, match=r"^jobs: must be at least 1, not 0$"):
        reproduce("balanced", tmp_path / "out.json", jobs=0)
    with pytest.raises(ReproduceError, match=r"^jobs: must be 1 where nothing is trained, not 2$"):
        reproduce("balanced", tmp_path / "out.json", jobs=2, train=False)
