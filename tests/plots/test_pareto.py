# SPDX-License-Identifier: Apache-2.0
import pytest

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


def test_two_kinds_of_cost_are_refused() -> None:
    with pytest.raises(PlotError, match=r"^pareto: sweeps must have one kind of cost, not bit-operations, bytes$"):
        draw_pareto({"a": SWEEP, "b": SWEEP | {"cost": "bit-operations"}})
