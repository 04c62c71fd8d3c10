# SPDX-License-Identifier: Apache-2.0
import numpy as np

from bitlens.data.detail import detail


def test_detail_is_what_half_the_pixels_cannot_hold() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    slope = np.tile(np.arange(64, dtype=np.uint8), (64, 1))
    assert detail(noise) > 0.5
    assert detail(slope) < 0.05
    assert detail(np.full((8, 8), 3, np.uint8)) == 0.0
