# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np

from bitlens.data import faces
from bitlens.data.faceless import faceless_views
from scene_pictures import write_scene_sets


def test_each_photograph_gives_ten_views(tmp_path: Path) -> None:
    pictures = faces(write_scene_sets(tmp_path), "nonface")[:2]  # 150x160
    views = faceless_views(pictures)
    assert [view.shape for view in views[::2]] == 2 * [(106, 113), (126, 135), (150, 160), (178, 190), (212, 226)]
    for view, mirrored in zip(views[::2], views[1::2], strict=True):
        assert view.dtype == np.uint8
        assert np.array_equal(view, mirrored[:, ::-1])
    assert np.array_equal(views[4], pictures[0].luma())
    assert all(abs(view.mean() - views[4].mean()) < 1 for view in views)
    assert faceless_views([]) == []
