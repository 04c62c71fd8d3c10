# SPDX-License-Identifier: Apache-2.0
import pytest

from bitlens.plots.canvas import PlotError
from bitlens.plots.curves import draw_curves

LINES = [{"epoch": 1, "train_loss": 2.0, "test_perplexity": 300.0}, {"epoch": 2, "train_loss": 1.0}]


def test_every_figure_is_a_panel_and_every_run_a_line() -> None:
    figure = draw_curves({"a": LINES, "b": LINES[:1]}, ["train_loss", "test_perplexity"])
    loss, perplexity = figure.axes
    assert [list(line.get_ydata()) for line in loss.lines] == [[2.0, 1.0], [2.0]]
    assert [line.get_label() for line in loss.lines] == ["a", "b"]
    assert list(perplexity.lines[0].get_xdata()) == [1]
    assert perplexity.get_yscale() == "log"
    assert loss.get_yscale() == "linear"


def test_an_unknown_figure_is_refused() -> None:
    with pytest.raises(PlotError) as caught:
        draw_curves({"a": LINES}, ["accuracy"])
    assert str(caught.value) == "figure: must be one of test_perplexity, train_loss, not accuracy"
