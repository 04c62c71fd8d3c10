# SPDX-License-Identifier: Apache-2.0
import pytest

from bitlens.plots.canvas import PlotError
from bitlens.plots.entropy import draw_entropy

USED = {"Gaussian": {"a": {2: 1.5, 3: 2.5}, "b": {1: 1.0}}, "Laplacian": {"a": {2: 1.0, 3: 2.0}, "b": {1: 0.5}}}


def test_a_panel_a_distribution_and_a_bar_a_number_of_bits() -> None:
    figure = draw_entropy(USED, "used")
    first, second = figure.axes
    assert [first.get_title(), second.get_title()] == ["Gaussian", "Laplacian"]
    assert [bar.get_width() for bar in first.patches] == [1.0, 1.5, 2.5]  # ascending bits
    assert [bar.get_y() + bar.get_height() / 2 for bar in first.patches] == pytest.approx([1, -0.2, 0.2])
    assert [text.get_text() for text in first.get_yticklabels()] == ["a", "b"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["1 bit", "2 bits", "3 bits"]


@pytest.mark.parametrize("used", [{}, {"Gaussian": {}}, {"Gaussian": {"a": {}}}])
def test_nothing_to_draw_is_refused(used: dict[str, dict[str, dict[int, float]]]) -> None:
    with pytest.raises(PlotError) as caught:
        draw_entropy(used, "used")
    assert str(caught.value) == "used: bars must hold values, not none"
