# SPDX-License-Identifier: Apache-2.0
import numpy as np

from bitlens.data import digits


def test_the_digits_are_all_there() -> None:
    dataset = digits()
    assert dataset.train.images.shape == (1438, 8, 8, 1)
    assert dataset.test.images.shape == (359, 8, 8, 1)
    assert dataset.train.images.max() == 255
    assert np.array_equal(np.unique(dataset.test.labels), np.arange(10))
