# SPDX-License-Identifier: Apache-2.0
"""The demo and the examples, as a user runs them but shorter."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from bitlens.camera.captures import read_captures
from bitlens.results.demo import run_demo
from bitlens.results.demo_clip import face_middle

EXAMPLES = Path(__file__).parents[2] / "examples"


def _example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_demo(tmp_path) == 0
    text = capsys.readouterr().out
    assert "looked at   200 frames of 1 source\n" in text
    assert f"open {tmp_path / 'by_clearness.png'}\n" in text
    names = ["by_clearness.png", "by_pose.png", "captures.jsonl", "report.json", "walking.mp4", "walking.mp4.faces"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    captures = read_captures(tmp_path)
    assert len(captures) >= 8
    assert len({capture["track"] for capture in captures}) == 2  # one person, who leaves and comes back
    for capture in captures:
        left, top, width, height = capture["box"]
        x, y = face_middle(capture["frame"])
        if left == 0 or left + width == 400:  # cut by the picture's edge, and the face's middle may lie beyond it
            assert left <= min(max(x, 0), 400) <= left + width
        else:
            assert abs(left + width / 2 - x) < width / 4
        assert abs(top + height / 2 - y) < height / 4
    clear = sorted(capture["clearness"] for capture in captures)
    assert clear[-1] > clear[0] + 20  # the clip is sharp in parts and blurred in others
    assert run_demo(tmp_path) == 0  # safe to run twice
    assert read_captures(tmp_path) == captures


@pytest.mark.filterwarnings("ignore")  # of ONNX Runtime's quantizer and torch's exporter
def test_the_whole_line_example(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _example("whole_line").main(tmp_path, epochs=2) == 0
    text = capsys.readouterr().out
    assert "\n0 of " in text
    assert "onnxruntime" in text
    names = ["digits.bitlens", "digits.onnx", "run_w1a2g32", "run_w32a32g32"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert _example("whole_line").main(tmp_path, epochs=2) == 0  # safe to run twice


@pytest.mark.filterwarnings("ignore")
def test_the_digits_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert _example("digits").main(epochs=4) > 0.7
    assert "with integers only" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore")
def test_the_own_net_example() -> None:
    assert _example("own_net").main() == 0


def test_examples_are_short() -> None:
    for path in EXAMPLES.glob("*.py"):
        assert len(path.read_text().splitlines()) < 60
