# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bitlens.plots.canvas import PlotError
from bitlens.plots.quantizers import LINES, Curve
from bitlens.quant.spec import _ACTIVATIONS, _WEIGHTS
from bitlens.results import quantizers
from bitlens.results.quantizers import activation_curves, gradient_curves, render, used_bits, weight_curves

DOCS = Path(__file__).parents[2] / "docs"

# Entropy of the codes at 2, 3, 4 bits by an independent numpy program of the same formulas, on another sample.
REFERENCE = {
    "Gaussian": {"uniform": (1.05, 1.87, 2.91), "mean": (2.00, 2.93, 3.75), "balanced_max": (1.98, 2.97, 3.97)},
    "Laplacian": {"uniform": (1.01, 1.29, 2.05), "mean": (1.99, 2.93, 3.77), "balanced_max": (1.95, 2.93, 3.92)},
    "Student t, 3 degrees": {
        "uniform": (1.00, 1.01, 1.04),
        "mean": (1.98, 2.96, 3.83),
        "balanced_max": (1.94, 2.90, 3.88),
    },
}


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantizers, "_POINTS", 101)
    monkeypatch.setattr(quantizers, "_DRAWS", 20)


def _family(panel: str) -> str:
    return panel.split(",")[0]


@pytest.mark.parametrize("bits", [2, 3, 8])
def test_every_quantizer_of_the_spec_has_a_panel(bits: int) -> None:
    assert {*map(_family, weight_curves(bits))} == {*_WEIGHTS, "narrow (first"}
    assert {*map(_family, activation_curves(bits))} >= {*_ACTIVATIONS}


@pytest.mark.parametrize("curves", [weight_curves, activation_curves, gradient_curves])
def test_curves_have_known_lines_of_finite_values(curves: Callable[[int], dict[str, list[Curve]]]) -> None:
    for title, rows in curves(2).items():
        for x, lines in rows:
            assert (np.diff(x) > 0).all(), title
            for name, y in lines.items():
                assert name in LINES
                assert y.shape == x.shape, title
                assert np.isfinite(y).all(), title


def test_levels_and_gradients_are_those_of_the_formulas() -> None:
    panels = weight_curves(2)
    for title, levels in (("dorefa, 1 bit", 2), ("balanced, 2 bits", 4), ("ternary, 2 bits", 3), ("lsq, 2 bits", 4)):
        assert len(np.unique(panels[title][0][1]["value"])) == levels
    x, lines = panels["mean, 2 bits"][0]
    assert np.allclose(lines["gradient"], 1 - np.tanh(x) ** 2, atol=1e-5)
    (x, lines), (half, paler) = panels["bipolar, 1 bit"]
    assert np.allclose(half, x / 2)
    assert np.allclose(paler["value"], lines["value"] / 2)


def test_learned_reaches_have_the_published_gradients() -> None:
    panels = activation_curves(2)
    x, lines = panels["pact, 2 bits"][0]
    away = np.abs(x - 1) > 1e-3
    assert np.allclose(lines["gradient of the learned reach"][away], x[away] > 1, atol=1e-5)
    x, lines = panels["lsq, 2 bits"][0]
    away &= np.abs(3 * x - np.floor(3 * x) - 0.5) > 1e-3  # neither the end nor a tie
    expected = np.where((x > 0) & (x < 1), (np.floor(3 * x + 0.5) - 3 * x) / 3, x > 1)
    assert np.allclose(lines["gradient of the learned reach"][away], expected[away], atol=1e-5)
    assert "gradient of the learned reach" not in panels["clip, 2 bits"][0][1]


def test_the_mean_of_noisy_gradients_is_nearer_than_the_nearest_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantizers, "_DRAWS", 1000)
    noisy, plain = (rows[0] for rows in gradient_curves(2).values())
    assert np.abs(noisy[1]["mean of draws"] - noisy[0]).max() < 0.1
    assert np.abs(plain[1]["value"] - plain[0]).max() > 0.3


@pytest.mark.parametrize("curves", [weight_curves, activation_curves, gradient_curves])
@pytest.mark.parametrize("bits", [1, 9])
def test_other_bits_are_refused(curves: Callable[[int], dict[str, list[Curve]]], bits: int) -> None:
    with pytest.raises(PlotError) as caught:
        curves(bits)
    assert str(caught.value) == f"plot: bits must be 2 to 8, not {bits}"


def test_entropies_are_those_of_another_program() -> None:
    used = used_bits()
    for distribution, rows in REFERENCE.items():
        for name, expected in rows.items():
            # the largest of 100,000 weights moves a scale that follows it
            assert [*used[distribution][name].values()] == pytest.approx(
                expected, abs=0.3 if name == "uniform" else 0.02
            )
        assert [*used[distribution]["balanced_median"].values()] == pytest.approx([2, 3, 4], abs=0.001)
        for row in used[distribution].values():
            assert all(0 <= value <= bits + 1e-9 for bits, value in row.items())


def test_the_table_of_the_docs_is_the_command_s() -> None:
    used = used_bits()
    section = (DOCS / "quantizers.md").read_text().partition("## How many bits")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `") and "=" not in line]
    shown = {line.split("`")[1]: line.split("|")[3:-1] for line in lines}
    assert shown.keys() == used["Gaussian"].keys()
    for column, rows in enumerate(used.values()):
        for name, row in rows.items():
            cell = [float(part) for part in shown[name][column].partition("(")[0].split("/")]
            assert cell == pytest.approx([*row.values()], abs=0.006), name
    assert "bipolar, 1 bit " in render(used)


def test_the_docs_name_every_family() -> None:
    page = (DOCS / "quantizers.md").read_text()
    for name in (*_WEIGHTS, *_ACTIVATIONS):
        assert f"`{name}`" in page
