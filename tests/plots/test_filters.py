# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from bitlens.plots.canvas import PlotError
from bitlens.plots.filters import draw_filters, mosaic


def test_a_mosaic_holds_every_filter_at_its_place() -> None:
    filters = np.arange(2 * 3 * 3 * 3).reshape(2, 3, 3, 3)
    picture = mosaic(filters, 2, 2)
    assert picture.shape == (9, 9)
    assert np.isnan(picture[[0, 4, 8]]).all()
    assert np.isnan(picture[:, [0, 4, 8]]).all()
    shown = filters[:2, :2]
    assert (picture[5:8, 1:4] == ((shown[1, 0] - shown.min()) / (shown.max() - shown.min())).astype(np.float32)).all()


def test_one_bit_filters_are_black_and_white() -> None:
    filters = np.where(np.random.default_rng(0).random((4, 4, 3, 3)) < 0.5, -1, 1)
    picture = mosaic(filters, 4, 4)
    assert set(np.unique(picture[~np.isnan(picture)])) == {0.0, 1.0}


def test_a_constant_layer_is_black() -> None:
    assert np.nanmax(mosaic(np.ones((1, 1, 3, 3), int), 1, 1)) == 0


def test_the_title_says_how_much_is_shown() -> None:
    figure = draw_filters(np.eye(3, dtype=int)[None, None].repeat(20, 0), "conv1")
    assert figure.axes[0].get_title() == "conv1: 16 of 20 filters, 1 of 1 inputs"


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 1, 1), (0, 4, 3, 3)])
def test_weights_that_are_no_filters_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(PlotError) as caught:
        draw_filters(np.zeros(shape, int), "fc")
    assert str(caught.value) == f"fc: weights must be filters (O, I, KH, KW) larger than 1x1, not {shape}"


def test_no_rows_are_refused() -> None:
    with pytest.raises(PlotError) as caught:
        draw_filters(np.zeros((1, 1, 3, 3), int), "conv", rows=0)
    assert str(caught.value) == "conv: rows and columns must be at least 1, not 0 and 24"
