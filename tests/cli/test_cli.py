# SPDX-License-Identifier: Apache-2.0
"""The command line as a user meets it: exit codes, one-line errors, nothing half-written."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bitlens.cli import COMMANDS, main

from programs import chain_program, random_inputs

_BITLENS = [sys.executable, "-m", "bitlens.cli"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "m.bitlens"
    chain_program(0).save(path)
    np.save(tmp_path / "x.npy", random_inputs(chain_program(0), 5, 0)["image"].astype(np.uint8))
    return path


def _fails(words: Sequence[object], capsys: pytest.CaptureFixture[str], sentence: str) -> None:
    assert main([str(word) for word in words]) == 2
    captured = capsys.readouterr()
    assert captured.err == sentence + "\n"
    assert captured.out == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leave:
        main([name, "--help"])
    assert leave.value.code == 0
    assert f"example:\n  bitlens {name}" in capsys.readouterr().out


def test_run_on_both_backends(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = []
    for backend in ("engine", "golden"):
        output = tmp_path / f"{backend}.npz"
        words = ["run", model, "--input", tmp_path / "x.npy", "-o", output, "--backend", backend]
        assert main([str(word) for word in words]) == 0
        results.append(np.load(output)["conv9"])
    assert np.array_equal(*results)
    capsys.readouterr()
    assert main(["run", str(model), "--input", str(tmp_path / "x.npy")]) == 0
    assert json.loads(capsys.readouterr().out)["conv9"] == results[0].tolist()


def test_diff_of_engine_and_golden(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", str(model), f"{model}:golden", "--input", str(tmp_path / "x.npy")]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("0 differing codes of ")


def test_inspect_and_bench_give_json(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(model), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["layers"]
    assert main(["bench", str(model), "--seconds", "0.01", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["name"] == "bitlens"


def test_a_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _fails(["inspect", tmp_path / "no.bitlens"], capsys, f"{tmp_path}/no.bitlens: No such file or directory")


def test_a_truncated_model(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = model.read_bytes()
    model.write_bytes(data[:-7])
    sentence = f"{model}: file: length must be {len(data)} bytes as its header says, not {len(data) - 7}"
    _fails(["inspect", model], capsys, sentence)


def test_a_wrong_image_size(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "y.npy", np.zeros((1, 8, 7, 3), np.uint8))
    words = ["run", model, "--input", tmp_path / "y.npy", "--backend", "golden"]
    _fails(words, capsys, "image: shape must be (N, 9, 7, 3), not (1, 8, 7, 3)")


def test_an_input_that_is_no_array(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "y.npy").write_bytes(b"hello")
    _fails(["run", model, "--input", tmp_path / "y.npy"], capsys, f"{tmp_path}/y.npy: input must be a .npy array")


def test_a_missing_folder_for_the_output(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", model, "--input", tmp_path / "x.npy", "-o", tmp_path / "no" / "y.npz"]
    assert main([str(word) for word in words]) == 2
    assert capsys.readouterr().err.endswith("No such file or directory\n")


def test_missing_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "dorefa_cifar10", "--data", str(tmp_path / "no"), "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert str(tmp_path / "no") in error


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk(model: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for a small disk; the file must be whole or absent."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512)); "
    script = (
        limit
        + "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); import sys; from bitlens.cli import main; "
    )
    words = ["run", str(model), "--input", str(tmp_path / "x.npy"), "-o", str(tmp_path / "y.npz"), "--keep"]
    done = subprocess.run(
        [sys.executable, "-c", script + f"sys.exit(main({words!r}))"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == f"{tmp_path}/y.npz: File too large\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.bitlens", "x.npy"]
    done = subprocess.run([*_BITLENS, *words[:5], "/dev/full"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert re.fullmatch(r"/dev/full: disk must have room for [\d,]+ bytes, not be full\n", done.stderr)


_STOPPED = """
import os, signal, sys
from bitlens.cli import main
os.fsync = lambda handle: os.kill(os.getpid(), int(sys.argv[1]))  # before the file has its name
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_leaves_nothing_half_written(model: Path, tmp_path: Path, number: signal.Signals) -> None:
    words = ["run", str(model), "--input", str(tmp_path / "x.npy"), "-o", str(tmp_path / "y.npz")]
    done = subprocess.run(
        [sys.executable, "-c", _STOPPED, str(int(number)), *words], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (128 + number, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.bitlens", "x.npy"]


def test_no_command_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "COMMAND" in capsys.readouterr().out


def test_a_missing_part_names_its_extra(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    sentence = "run: PIL must be installed; pip install 'bitlens[train]'"
    _fails(["run", model, "--input", "x.png"], capsys, sentence)


def test_a_closed_pipe_is_no_error(model: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*_BITLENS, "inspect", str(model)], stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write)
    assert done.stderr == ""
