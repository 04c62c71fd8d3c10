# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from bitlens.graph.patches import row_blocks


@pytest.mark.parametrize("numbers", [1, 1 << 18, 1 << 21, 1 << 22, 1 << 30])
@pytest.mark.parametrize(("images", "height"), [(1, 1), (3, 5), (7, 64), (0, 4), (2, 0)])
def test_every_row_is_covered_once_by_small_blocks(images: int, height: int, numbers: int) -> None:
    seen = np.zeros((images, height), int)
    for block in row_blocks(images, height, numbers):
        seen[block] += 1
        assert seen[block].size == 1 or seen[block].size * numbers <= 1 << 22
    assert np.all(seen == 1)
