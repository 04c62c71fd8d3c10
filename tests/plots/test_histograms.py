# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from bitlens.plots.canvas import PlotError
from bitlens.plots.histograms import draw_histograms, entropy_bits


def test_entropy_of_even_levels_is_the_number_of_bits() -> None:
    for bits in range(9):
        assert entropy_bits(np.arange(1 << bits).repeat(3)) == pytest.approx(bits)


def test_entropy_of_uneven_levels_is_less() -> None:
    assert entropy_bits(np.array([0, 0, 0, 1])) == pytest.approx(0.25 * 2 + 0.75 * np.log2(4 / 3))


def test_few_levels_become_bars_with_their_entropy() -> None:
    figure = draw_histograms({"codes": np.array([-1.0, 1.0]), "float": np.linspace(0, 1, 1000)}, "conv1")
    bars, histogram = figure.axes
    assert bars.get_title() == "codes\n2 levels, 1.00 bits used"
    assert [bar.get_height() for bar in bars.patches] == [1, 1]
    assert histogram.get_title() == "float"
    assert sum(bar.get_height() for bar in histogram.patches) == 1000


@pytest.mark.parametrize("panels", [{}, {"float": np.zeros(0)}])
def test_no_values_are_refused(panels: dict[str, np.ndarray]) -> None:
    with pytest.raises(PlotError) as caught:
        draw_histograms(panels, "conv1")
    assert str(caught.value) == "conv1: panels must hold values, not none"
