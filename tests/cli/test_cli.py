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
import onnx
import pytest
from PIL import Image

from bitlens.cli import COMMANDS, main
from bitlens.core.grid import Grid
from programs import Builder, chain_program, random_inputs
from qonnx_models import ModelBuilder

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


def test_programs_that_come_with_bitlens_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["inspect", "face_pose"]) == 0
    assert "name: face_pose" in capsys.readouterr().out
    (tmp_path / "face_pose").touch()  # a file goes first
    _fails(
        ["inspect", "face_pose"],
        capsys,
        "face_pose: the first 8 bytes must be 89 42 49 54 4c 45 4e 53 (.bitlens), not none",
    )


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
    sentence = f"{model}: length must be {len(data)} bytes as its header says, not {len(data) - 7}"
    _fails(["inspect", model], capsys, sentence)


def test_a_wrong_image_size(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "y.npy", np.zeros((1, 8, 7, 3), np.uint8))
    words = ["run", model, "--input", tmp_path / "y.npy", "--backend", "golden"]
    _fails(words, capsys, "image: shape must be (N, 9, 7, 3), not (1, 8, 7, 3)")


def test_an_input_that_is_no_array(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, whole = tmp_path / "y.npy", (tmp_path / "x.npy").read_bytes()
    np.save(tmp_path / "objects.npy", np.array([None]), allow_pickle=True)
    objects = (tmp_path / "objects.npy").read_bytes()
    for content, found in (
        (b"hello", ".npy array, not a file of another kind"),
        (whole[:9], "whole .npy array of numbers, not a damaged one"),
        (whole[:-7], "whole .npy array of numbers, not a damaged one"),
        (objects, "whole .npy array of numbers, not one of Python objects"),
    ):
        path.write_bytes(content)
        _fails(["run", model, "--input", path], capsys, f"{path}: input must be a {found}")
    np.save(path, np.zeros((9, 7, 3), np.uint8))
    _fails(["run", model, "--input", path], capsys, "image: shape must be (N, 9, 7, 3), not (9, 7, 3)")


def test_an_input_that_is_no_picture(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "y.png"
    path.write_bytes(b"hello")
    sentence = f"{path}: input must be a .npy array or a picture, not a file of another kind"
    _fails(["run", model, "--input", path], capsys, sentence)
    Image.fromarray(np.zeros((90, 70, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:60])
    _fails(["run", model, "--input", path], capsys, f"{path}: picture must be whole, not damaged")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["run", "--threads", "3000000000"], "threads: must be an integer from 1 to 2147483647, not 3000000000"),
        (["bench", "--threads", "3000000000"], "threads: must be an integer from 1 to 2147483647, not 3000000000"),
        (["bench", "--batch", "-1"], "bench: batch must be at least 1, not -1"),
        (["bench", "--batch", "0"], "bench: batch must be at least 1, not 0"),
        (["bench", "--seconds", "-1"], "bench: seconds must be a positive number, not -1.0"),
        (["bench", "--seconds", "nan"], "bench: seconds must be a positive number, not nan"),
        (["eval", "--recipe", "digits", "--limit", "0"], "limit: must be at least 1, not 0"),
        (["eval", "--recipe", "digits", "--limit", "-3"], "limit: must be at least 1, not -3"),
        (["inspect", "--size", "10x7"], "image: height must be 9, not 10"),
        (
            ["inspect", "--size", "9999999999x8"],
            "size: must be (height, width), integers from 1 to 2147483647, not (9999999999, 8)",
        ),
        (["inspect", "--size", "99999999999x8"], "size: must be HEIGHTxWIDTH such as 480x640, not 99999999999x8"),
    ],
)
def test_numbers_out_of_range(model: Path, words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    rest = ["--input", model.parent / "x.npy"] if words[0] == "run" else []
    _fails([words[0], model, *rest, *words[1:]], capsys, sentence)


@pytest.mark.parametrize(
    "words",
    [
        ["--exact"],
        ["--limit", "3"],
        ["--isa", "neon"],
        ["--backend", "golden"],
        ["--recipe", "x"],
        ["--threads", "1"],
        ["--run", "x"],
    ],
)
def test_a_run_s_folder_takes_no_flags_of_programs(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sentence = f"{tmp_path}: {words[0]} must be left out for a run's folder; compile the run and give its program"
    _fails(["eval", tmp_path, *words], capsys, sentence)


def test_a_peer_that_is_no_model(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import onnx

    path = tmp_path / "m.onnx"
    words = ["bench", model, "--against", "onnxruntime", "--onnx", path]
    graph = onnx.helper.make_graph([], "g", [], [])
    path.write_bytes(onnx.helper.make_model(graph).SerializeToString())
    _fails(words, capsys, f"{path}: model must have an input, not none")
    path.write_bytes(path.read_bytes()[:-1])
    sentence = f"{path}: file must be an ONNX model, not broken or foreign: Error parsing message"
    assert main([str(word) for word in words]) == 2
    assert capsys.readouterr().err.startswith(sentence)


def test_a_form_that_is_none(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sentence = f"{model}: form must be one of golden, portable, avx2, avx512, neon, not foo"
    _fails(["diff", model, f"{model}:foo", "--input", tmp_path / "x.npy"], capsys, sentence)


def test_a_program_of_any_size_takes_the_size_of_its_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    b = Builder()
    x = b.input((None, None, 3), Grid.unsigned(8))
    program = b.program(b.conv(x, np.random.default_rng(0), 4, Grid.odd(1), (3, 3)))
    model = tmp_path / "m.bitlens"
    program.save(model)
    for size in ((4, 6), (8, 5)):
        images = random_inputs(program, 2, 0, size)["image"].astype(np.uint8)
        np.save(tmp_path / "x.npy", images)
        assert main(["run", str(model), "--input", str(tmp_path / "x.npy")]) == 0
        assert json.loads(capsys.readouterr().out)["conv0"] == program.run(images)["conv0"].tolist()
        assert main(["diff", str(model), f"{model}:golden", "--input", str(tmp_path / "x.npy")]) == 0
        assert capsys.readouterr().out.endswith(f"0 differing codes of {2 * 4 * (size[0] - 2) * (size[1] - 2)}\n")


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


def test_what_was_requantized_is_printed_kept_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    b = ModelBuilder(("N", 1, 4, 4))
    x = b.quant("image", 1 / 255, 8)
    total = b.op("Add", *(b.quant(x, scale, 8) for scale in (0.03, 0.02)), name="join")
    onnx.save(b.model(b.quant(total, 0.1, 4)), tmp_path / "m.onnx")
    words = ["compile", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "m.bitlens")]
    assert main(words) == 2
    assert "or allow it (--allow-requantize)" in capsys.readouterr().err
    line = (
        "join: operands requantized to 10 bits of 0.00999999978; their sum is off by at most 4.72e-05 units, 4.72e-07"
    )
    assert main([*words, "--allow-requantize"]) == 0
    assert capsys.readouterr().out.startswith(f"{line}\n")
    assert main([*words, "--allow-requantize", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["requantized"] == [line]
    assert main(["inspect", str(tmp_path / "m.bitlens")]) == 0
    assert f"\nrequantized: {line}\n" in capsys.readouterr().out
