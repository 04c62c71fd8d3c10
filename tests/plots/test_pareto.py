# SPDX-License-Identifier: Apache-2.0
from itertools import pairwise

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from bitlens.plots.canvas import PlotError
from bitlens.plots.pareto import draw_pareto


def point(cost: float, loss: float, layers: str) -> dict[str, object]:
    return {"cost": cost, "loss": loss, "layers": layers}


SWEEP = {
    "cost": "bytes",
    "chosen": point(40, 0.15, "w2a4/w4a2"),
    "path": [point(100, 0.1, "w8a8/w8a8"), point(70, 0.2, "w8a8/w2a2"), point(40, 0.5, "w2a2/w2a2")],
    "uniform": [point(100, 0.1, "w8a8/w8a8"), point(40, 0.5, "w2a2/w2a2")],
}


def test_the_path_the_choice_and_the_uniform_points_are_drawn() -> None:
    (axes,) = draw_pareto({"net": SWEEP}).axes
    path, chosen, uniform = axes.lines
    assert list(path.get_xdata()) == [100, 70, 40]
    assert list(path.get_ydata()) == [0.1, 0.2, 0.5]
    assert (list(chosen.get_xdata()), list(chosen.get_ydata())) == ([40], [0.15])
    assert list(uniform.get_xdata()) == [100, 40]
    assert [text.get_text() for text in axes.texts] == ["w8a8", "w2a2"]
    assert axes.get_xlabel() == "bytes"


@pytest.mark.parametrize("most", [1.3, 2.0, 30.0])
def test_labels_neither_meet_nor_leave_the_axes(most: float) -> None:
    wide = [point(3e6, 1.5, "w1a2/w1a2"), point(3e6 * most, 1.1, "w8a8/w8a8")]
    figure = draw_pareto({"net": SWEEP | {"path": wide, "uniform": wide, "chosen": wide[0]}})
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    for text in axes.texts:
        assert axes.bbox.x0 <= text.get_window_extent().x0 < text.get_window_extent().x1 <= axes.bbox.x1
    low, high = axes.get_xlim()
    marks = [
        label for place, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True) if low <= place <= high
    ]
    assert len(marks) > 1
    extents = [label.get_window_extent() for label in marks]
    assert all(left.x1 < right.x0 for left, right in pairwise(extents)), [label.get_text() for label in marks]
    assert axes.get_legend() is None  # of one sweep


def test_two_kinds_of_cost_are_refused() -> None:
    with pytest.raises(PlotError, match=r"^pareto: sweeps must have one kind of cost, not bit-operations, bytes$"):
        draw_pareto({"a": SWEEP, "b": SWEEP | {"cost": "bit-operations"}})
