# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from bitlens.plots.canvas import PlotError
from bitlens.plots.quantizers import LINES, draw_quantizers

X = np.linspace(-1, 2, 7)


def test_every_quantizer_is_a_panel_and_every_line_has_its_entry_once() -> None:
    lines = {"value": np.sign(X), "gradient": np.ones(7)}
    figure = draw_quantizers({"a": [(X, lines)], "b": [(X, lines), (X / 2, lines)], "c": [(X, lines)]}, "two", "w", 2)
    a, b, c = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["a", "b", "c"]
    assert a.get_position().y0 == b.get_position().y0 > c.get_position().y0
    assert [axes.get_xlabel() for axes in figure.axes] == ["", "", "w"]  # below the last row
    identity, value, gradient = a.lines
    assert list(identity.get_xdata()) == list(identity.get_ydata()) == [-1, 2]
    assert (value.get_ydata() == np.sign(X)).all()
    assert (gradient.get_ydata() == 1).all()
    assert [line.get_alpha() for line in b.lines[1:]] == [1, 1, 0.4, 0.4]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["value", "gradient"]


@pytest.mark.parametrize("line", LINES)
def test_every_kind_of_line_can_be_drawn(line: str) -> None:
    figure = draw_quantizers({"a": [(X, {line: X})]}, "one", "x")
    assert len(figure.axes[0].lines) == 2


def test_no_panels_are_refused() -> None:
    with pytest.raises(PlotError) as caught:
        draw_quantizers({}, "weights", "w")
    assert str(caught.value) == "weights: panels must hold curves, not none"
