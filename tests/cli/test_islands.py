# SPDX-License-Identifier: Apache-2.0
"""Commands on partially quantized models and on programs with float islands."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest

from bitlens.cli import main
from island_models import ISLANDS, float_ends

_HOST = "or run it in float on the host with --float-islands"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    onnx.save(float_ends(), tmp_path / "m.onnx")
    assert main(["compile", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "m.bitlens"), "--float-islands"]) == 0
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(3, 8, 8, 3)).astype(np.float32))
    return tmp_path / "m.bitlens"


def _fails(words: Sequence[object], capsys: pytest.CaptureFixture[str], sentence: str) -> None:
    capsys.readouterr()
    assert main([str(word) for word in words]) == 2
    captured = capsys.readouterr()
    assert captured.err == sentence + "\n"
    assert captured.out == ""


def test_compile_refuses_by_default_and_names_the_flag(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _fails(
        ["compile", tmp_path / "m.onnx", "-o", tmp_path / "n.bitlens"],
        capsys,
        f"first: weights must be quantized, not float (c0); put a Quant or BipolarQuant operator on them, {_HOST}",
    )


def test_compile_says_what_runs_on_the_host(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*map(str, ["compile", tmp_path / "m.onnx", "-o", model, "--float-islands"])]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["float on the host: first, relu, quant", "float on the host: mean, flat, last"]
    assert lines[2].startswith(f"{model}: 2 ops, ")
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["islands"] == [["first", "relu", "quant"], ["mean", "flat", "last"]]


def test_both_backends_give_the_same(model: Path, tmp_path: Path) -> None:
    results = []
    for backend in ("engine", "golden"):
        output = tmp_path / f"{backend}.npz"
        words = ["run", model, "--input", tmp_path / "x.npy", "-o", output, "--backend", backend, "--real"]
        assert main([str(word) for word in words]) == 0
        (array,) = np.load(output).values()
        results.append(array)
    assert np.array_equal(*results)


def test_a_program_of_open_size_takes_the_size_of_its_images(tmp_path: Path) -> None:
    onnx.save(ISLANDS["any size"][0](), tmp_path / "m.onnx")
    main(["compile", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "m.bitlens"), "--float-islands"])
    np.save(tmp_path / "x.npy", np.zeros((1, 12, 20, 3), np.float32))
    output = tmp_path / "y.npz"
    assert main(["run", str(tmp_path / "m.bitlens"), "--input", str(tmp_path / "x.npy"), "-o", str(output)]) == 0
    (array,) = np.load(output).values()
    assert array.shape == (1, 3, 5, 3)


def test_diff_inspect_and_bench(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", str(model), f"{model}:golden", "--input", str(tmp_path / "x.npy")]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("0 differing codes of ")
    assert main(["inspect", str(model)]) == 0
    assert "float on the host" in capsys.readouterr().out
    assert main(["inspect", str(model), "--json"]) == 0
    assert [island["region"] for island in json.loads(capsys.readouterr().out)["islands"]] == [0, 2]
    assert main(["bench", str(model), "--seconds", "0.01", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["images_per_second"] > 0


def test_refusals(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "u.npy", np.zeros((1, 8, 8, 3), np.uint8))
    integers = (
        f"{model}: program must be of integers alone, not have float islands on the host; "
        "open it with bitlens.Session in Python, or compile it without --float-islands"
    )
    _fails(
        ["run", model, "--input", tmp_path / "u.npy"],
        capsys,
        "image: dtype must be a float type, not uint8: a float island reads real values",
    )
    _fails(
        ["bench", model, "--against", "onnxruntime", "--onnx", tmp_path / "m.onnx"],
        capsys,
        "bench: peers must be given a program of integers alone, not one with float islands",
    )
    _fails(["eval", model, "--recipe", "digits", "--exact"], capsys, integers)
    _fails(["eval", model, "--recipe", "digits"], capsys, "image: shape must be (N, 8, 8, 3), not (359, 8, 8, 1)")
    _fails(
        ["compile", tmp_path / "m.onnx", "-o", model, "--float-islands", "--allow-requantize"],
        capsys,
        "model: float islands and requantization must not be asked for together; choose one of the two",
    )
