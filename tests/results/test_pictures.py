# SPDX-License-Identifier: Apache-2.0
"""Pictures of published runs: their integers as they are, and nothing that needs float weights."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bitlens.plots.canvas import PlotError
from bitlens.results.pictures import filters_of, histograms_of, metrics_of, sweeps_of
from bitlens.train import load_run, run


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run, and the same run as it is published."""
    whole = tmp_path_factory.mktemp("run") / "whole"
    run("digits", out=whole, bits="w4a4", epochs=1)
    published = whole.with_name("published")
    published.mkdir()
    for name in ("config.json", "weights.npz"):
        shutil.copy(whole / name, published / name)
    return whole, published


def test_filters_are_the_published_integers(folders: tuple[Path, Path]) -> None:
    (name, integers), (same, again) = (filters_of(folder, None) for folder in folders)
    assert name == same
    assert np.array_equal(integers, again)
    assert np.array_equal(again, load_run(folders[1]).get_submodule(name).weight_integers)


def test_histograms_need_float_weights(folders: tuple[Path, Path]) -> None:
    assert len(histograms_of(folders[0], None, None)[1]) == 4
    with pytest.raises(PlotError, match=r"published: weights must be float for this picture, not published integers$"):
        histograms_of(folders[1], None, None)


def test_inputs_of_one_name_go_by_their_paths(tmp_path: Path) -> None:
    sweep = {"cost": "bytes", "path": [], "uniform": [], "chosen": {}}
    for folder in ("a/run", "b/run", "c/other"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "metrics.jsonl").write_text('{"epoch": 1}\n')
        (tmp_path / folder / "sweep.json").write_text(json.dumps(sweep))
    runs = [str(tmp_path / name) for name in ("a/run", "b/run", "c/other")]
    assert [*metrics_of(runs)] == [*runs[:2], "other"]
    files = [f"{run}/sweep.json" for run in runs[:2]]
    assert [*sweeps_of(files)] == files
    assert [*sweeps_of(files[:1])] == ["sweep"]
