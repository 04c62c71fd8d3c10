# SPDX-License-Identifier: Apache-2.0
"""Pictures of published runs: their integers as they are, and nothing that needs float weights."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from bitlens.plots.canvas import PlotError
from bitlens.results.pictures import filters_of, histograms_of
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
