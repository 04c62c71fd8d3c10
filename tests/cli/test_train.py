# SPDX-License-Identifier: Apache-2.0
"""What `bitlens train` prints at its end."""

from pathlib import Path

import pytest

from bitlens import train
from bitlens.cli import main


@pytest.mark.parametrize("metric", ["test_accuracy", "val_recall"])
def test_the_main_figure_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], metric: str
) -> None:
    result = {"recipe": "face_detector", "bits": "w1a2", "epochs": 3, metric: 0.5, "seconds": 1.0}
    monkeypatch.setattr(train, "run", lambda **flags: result)
    assert main(["train", "face_detector", "--data", str(tmp_path), "--out", "run"]) == 0
    assert capsys.readouterr().out == f"face_detector w1a2: {metric.replace('_', ' ')} 0.5000, in run\n"
