# SPDX-License-Identifier: Apache-2.0
"""What an exported run says of itself."""

import json
import math
import re
from pathlib import Path

import pytest

import bitlens
from bitlens.results.line import export_run
from bitlens.train import TrainError

_RUN = Path(__file__).parents[2] / "docs/results/face_detector/w1a2"


def test_a_detector_states_the_threshold_of_its_last_epoch() -> None:
    last = json.loads((_RUN / "metrics.jsonl").read_text().splitlines()[-1])
    program = bitlens.compile(export_run(_RUN))
    assert float(program.metadata["threshold"]) == pytest.approx(1 / (1 + math.exp(-last["val_threshold"])), abs=1e-4)
    assert program.metadata["recipe"] == "face_detector"


def test_without_a_log_it_states_none(tmp_path: Path) -> None:
    for name in ("config.json", "weights.npz"):
        (tmp_path / name).write_bytes((_RUN / name).read_bytes())
    assert "threshold" not in {entry.key for entry in export_run(tmp_path).metadata_props}


def test_a_log_without_a_threshold_is_refused(tmp_path: Path) -> None:
    for name in ("config.json", "weights.npz"):
        (tmp_path / name).write_bytes((_RUN / name).read_bytes())
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1, "train_loss": 2.0}\n')
    sentence = f"{tmp_path}/metrics.jsonl: last line must hold val_threshold, not epoch, train_loss"
    with pytest.raises(TrainError, match=f"^{re.escape(sentence)}$"):
        export_run(tmp_path)
