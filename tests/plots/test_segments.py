# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from bitlens.plots.canvas import PlotError
from bitlens.plots.segments import colour_masks, draw_segments

NAMES = ("sky", "road", "car")


def test_classes_differ_and_what_is_no_class_is_black() -> None:
    coloured = colour_masks(np.arange(12, dtype=np.uint8), 11)
    assert len(np.unique(coloured, axis=0)) == 12
    assert (coloured[11] == 0).all()


def test_results_are_black_where_the_truth_is_unlabelled() -> None:
    truths = np.array([[[0, 1], [2, 255]]], np.uint8)
    results = np.array([[[0, 2], [2, 1]]], np.uint8)
    other = np.array([[[1, 1], [1, 1]]], np.uint8)
    figure = draw_segments(np.zeros((1, 2, 2, 3), np.uint8), truths, {"w2a2": results, "w1a2": other}, NAMES)
    assert [axes.get_title() for axes in figure.axes] == ["image", "truth", "w2a2", "w1a2"]
    _, truth, result, last = (axes.images[0].get_array() for axes in figure.axes)
    assert (truth == colour_masks(truths[0], 3)).all()
    assert (result[0] == colour_masks(results[0, 0], 3)).all()
    assert (result[1, 1] == 0).all()
    assert (last[0] == colour_masks(other[0, 0], 3)).all()


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(PlotError) as caught:
        draw_segments(
            np.zeros((1, 2, 2, 3), np.uint8), np.zeros((1, 2, 3), np.uint8), {"a": np.zeros((1, 2, 3), np.uint8)}, NAMES
        )
    assert str(caught.value) == (
        "images: must be as many and as large as truths and results, not (1, 2, 2), (1, 2, 3) and (1, 2, 3)"
    )


def test_too_many_classes_are_refused() -> None:
    with pytest.raises(PlotError) as caught:
        colour_masks(np.zeros((1,), np.uint8), 21)
    assert str(caught.value) == "classes: must be 1 to 20, not 21"
