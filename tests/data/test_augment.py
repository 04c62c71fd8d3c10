# SPDX-License-Identifier: Apache-2.0
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlens.data import centred, scattered


@given(st.integers(1, 6), st.integers(1, 6), st.integers(6, 9), st.booleans(), st.integers(0, 1 << 30))
@settings(deadline=None, max_examples=60)
def test_images_are_placed_whole(height: int, width: int, size: int, flip: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = rng.integers(1, 256, (5, height, width, 3), dtype=np.uint8)
    canvas = scattered(images, size, np.random.default_rng(seed), flip)
    assert canvas.shape == (5, size, size, 3)
    for image, out in zip(images, canvas, strict=True):
        rows, columns = (np.flatnonzero(out[..., 0].any(axis)) for axis in (1, 0))
        found = out[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert np.array_equal(found, image) or (flip and np.array_equal(found, image[:, ::-1]))
        assert np.count_nonzero(out) == image.size
    assert np.array_equal(canvas, scattered(images, size, np.random.default_rng(seed), flip))


def test_centred() -> None:
    out = centred(np.ones((1, 2, 3, 1), np.uint8), 5)[0, :, :, 0]
    assert out.sum() == 6
    assert out[1:3, 1:4].sum() == 6


def test_the_middle_of_a_larger_image() -> None:
    images = np.arange(6 * 3, dtype=np.uint8).reshape(1, 6, 3, 1)
    out = centred(images, 4)[0, :, :, 0]
    assert np.array_equal(out[:, :3], images[0, 1:5, :, 0])
    assert not out[:, 3].any()


def test_every_place_and_both_sides_occur() -> None:
    images = np.tile(np.array([[[[1], [2]]]], np.uint8), (400, 1, 1, 1))
    seen = {out.tobytes() for out in scattered(images, 3, np.random.default_rng(0), True)}
    assert len(seen) == 3 * 2 * 2
