# SPDX-License-Identifier: Apache-2.0
import ast
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bitlens.cli import main
from bitlens.results import papers
from bitlens.results import reproduce as module
from bitlens.results.reproduce import ReproduceError, reproduce
from bitlens.results.side_by_side import LOG, _done, _length
from bitlens.results.trainings import TRAININGS, Training

ROWS = (
    Training("first", "digits", "w1a2", 1),
    Training("second", "digits", "w2a2", 1),
    Training("float", "digits", "w32a32", 1),
)
SCRIPT = """
import json, os, signal, sys, time
from pathlib import Path
from bitlens.results.side_by_side import side_by_side
from bitlens.results.trainings import Training

RUNS = Path(sys.argv[1])

def train(training):
    print("this is", training.row)
    (RUNS / f"{training.folder}.json").write_text(json.dumps([os.getpid(), time.time()]))
    if training.row == "refused":
        raise ValueError("width: must be 2, not 3")
    if training.row == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(600 if training.row == "long" else 1)
    (RUNS / f"{training.folder}.end").write_text(str(time.time()))

if __name__ == "__main__":
    rows = [Training(row, "digits", "w1a2", 2) for row in sys.argv[3:]]
    found = side_by_side(rows, train, RUNS, int(sys.argv[2]))
    for training, error in found:
        print([training.row, error], flush=True)
        if training.row == "last":
            found.close()
"""


def begin(folder: Path, jobs: int, *rows: str) -> "subprocess.Popen[str]":
    (folder / "script.py").write_text(SCRIPT)
    line = [sys.executable, str(folder / "script.py"), str(folder), str(jobs), *rows]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def begun(path: Path) -> int:
    """Wait until a row has begun; return its process."""
    for _ in range(600):
        if path.is_file() and path.read_text():
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
    output, errors = begin(tmp_path, 2, "refused", "killed", "a", "b", "c").communicate(timeout=120)
    assert dict(map(ast.literal_eval, output.splitlines())) == {
        "refused": "width: must be 2, not 3",
        "killed": "its process ended with exit code -9",
        "a": None,
        "b": None,
        "c": None,
    }
    assert "this is" not in output + errors  # a row talks to its log
    assert (tmp_path / "a_seed0" / LOG).read_text() == "this is a\n"
    assert "ValueError: width" in (tmp_path / "refused_seed0" / LOG).read_text()
    begins = {row: json.loads((tmp_path / f"{row}_seed0.json").read_text())[1] for row in "abc"}
    ends = {row: float((tmp_path / f"{row}_seed0.end").read_text()) for row in "abc"}
    assert min(ends.values()) <= begins["c"]  # never three at once


def test_what_still_trains_is_ended_with_the_generator(tmp_path: Path) -> None:
    with begin(tmp_path, 2, "long", "last") as first:
        process = begun(tmp_path / "long_seed0.json")
        output, _ = first.communicate(timeout=60)
    assert ast.literal_eval(output.splitlines()[-1]) == ["last", None]
    assert first.returncode == 0
    assert gone(process)


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT])
def test_no_row_trains_on_alone(by: signal.Signals, tmp_path: Path) -> None:
    with begin(tmp_path, 2, "long", "long") as first:
        process = begun(tmp_path / "long_seed0.json")
        first.send_signal(by)
        first.communicate(timeout=60)
    assert first.returncode != 0
    assert gone(process)


def test_rows_side_by_side_are_those_of_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (papers, module):
        monkeypatch.setattr(place, "TRAININGS", {"balanced": ROWS})
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    alone = reproduce("balanced", one, runs=tmp_path / "a", threads=1)
    flags = ["--runs", str(tmp_path / "b"), "--jobs", "2", "--threads", "1"]
    assert main(["reproduce", "balanced", "-o", str(two), *flags]) == 0
    rows = json.loads(two.read_text())
    times = ("seconds", "training_seconds", "log")
    assert [{**row, **dict.fromkeys(times)} for row in rows] == [{**row, **dict.fromkeys(times)} for row in alone]
    for row in ROWS:
        log = (tmp_path / "b" / "balanced" / row.folder / LOG).read_text()
        assert log.startswith(f"digits {row.bits.partition(',')[0]}")
        own, other = (tmp_path / side / "balanced" / row.folder / "weights.npz" for side in "ab")
        assert own.read_bytes() == other.read_bytes()


def test_rows_that_can_be_trained_are_measured_and_the_others_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in (papers, module):
        monkeypatch.setattr(place, "TRAININGS", {"balanced": ROWS})
    runs, out = tmp_path / "runs", tmp_path / "out.json"
    for row in ROWS[:2]:
        (runs / "balanced" / row.folder).mkdir(parents=True)
        (runs / "balanced" / row.folder / "checkpoint.pt").write_text("no checkpoint")
    sentence = r"first, seed 0 \(and 1 more\): .*first_seed0: must be a run's folder with config.json, not without$"
    with pytest.raises(ReproduceError, match=sentence):
        reproduce("balanced", out, runs=runs, jobs=3)
    assert [row["row"] for row in json.loads(out.read_text())] == ["float"]
    # Each had its share of the cores.
    shares = json.loads((runs / "balanced" / "float_seed0" / "config.json").read_text())["threads"]
    assert shares == max(1, (os.cpu_count() or 1) // 3)


def test_jobs_are_at_least_one(tmp_path: Path) -> None:
    with pytest.raises(ReproduceError, match=r"^jobs: must be at least 1, not 0$"):
        reproduce("balanced", tmp_path / "out.json", jobs=0)
    assert main(["reproduce", "faces", "--jobs", "2", "-o", str(tmp_path / "faces.json")]) == 2


def test_lengths_are_those_of_all_stages(tmp_path: Path) -> None:
    decayed = next(training for training in TRAININGS["fcn"] if training.decay)
    assert _length(decayed) == 24
    assert _length(ROWS[0]) == 1
    assert _done(tmp_path) == 0
    (tmp_path / "metrics.jsonl").write_text("{}\n{}\n")
    assert _done(tmp_path) == 2
