# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import pytest

from bitlens.results import bench, peers
from bitlens.results.bench import bench_program, render
from programs import chain_program


def test_speed_and_ratio_are_of_one_statistic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.bitlens"
    chain_program(0).save(path)
    times = {"bitlens": np.array([1.0, 2.0, 9.0]), "peer": np.array([1.0, 8.0, 9.0])}
    monkeypatch.setitem(peers.PEERS, "onnxruntime", lambda onnx, images, threads: {"peer": lambda x: x})
    monkeypatch.setattr(bench, "time_interleaved", lambda runs, seconds: times)
    report = bench_program(str(path), peers=["onnxruntime"], onnx="m.onnx", batch=4)
    ours, theirs = report["rows"]
    assert (ours["images_per_second"], theirs["images_per_second"]) == (2.0, 0.5)
    assert (ours["ratio"], theirs["ratio"]) == (1.0, 4.0)
    assert render(report).endswith("bitlens is 4.00x as fast")
