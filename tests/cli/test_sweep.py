# SPDX-License-Identifier: Apache-2.0
"""`bitlens sweep` and the picture of what it writes, on a real run."""

import json
from pathlib import Path

import pytest

from bitlens.cli import main
from bitlens.quant import Spec
from bitlens.train import run


def test_a_sweep_prints_a_spec_and_writes_what_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("digits", out=tmp_path / "run", bits="w8a8", epochs=1, batch=256, threads=1)
    capsys.readouterr()
    words = ["sweep", str(tmp_path / "run"), "--budget", "40%", "--candidates", "w8a8,w2a2", "--batches", "1"]
    assert main([*words, "-o", str(tmp_path / "sweep.json"), "--threads", "1"]) == 0
    printed = capsys.readouterr().out.strip()
    assert len(Spec.parse(printed).layers) == 2
    report = json.loads((tmp_path / "sweep.json").read_text())
    assert report["bits"] == printed
    assert main([*words, "--json", "--threads", "1"]) == 0
    assert json.loads(capsys.readouterr().out) == report
    picture = tmp_path / "pareto.png"
    assert main(["plot", "pareto", str(tmp_path / "sweep.json"), "-o", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    of_places = json.dumps(report | {"chosen": 1})  # as an older version wrote them
    for content, rule in (
        ("{", "not damaged: "),
        ("{}", "not of something else"),
        (of_places, "not of something else"),
    ):
        (tmp_path / "other.json").write_text(content)
        assert main(["plot", "pareto", str(tmp_path / "other.json"), "-o", str(picture)]) == 2
        assert capsys.readouterr().err.startswith(f"{tmp_path}/other.json: must be a file of bitlens sweep, {rule}")
    assert main([*words, "-o", str(tmp_path / "none" / "sweep.json")]) == 2  # before anything is measured
    assert capsys.readouterr().err == f"{tmp_path}/none/sweep.json: No such file or directory\n"
    assert main([*words[:2], "--budget", "1%"]) == 2
    assert capsys.readouterr().err.startswith("budget: must be at least ")
