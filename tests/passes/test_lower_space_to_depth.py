# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

import bitlens
from qonnx_models import ModelBuilder
from stages import assert_moves, assert_refused


@pytest.mark.parametrize(("block", "shape"), [(2, (2, 3, 8, 10)), (3, (1, 2, 9, 6)), (4, (1, 1, 4, 8))])
def test_blocks_become_channels(block: int, shape: tuple[int, ...]) -> None:
    parts = ["max_pool", *["upsample", "max_pool"] * (block**2 - 1), "concat"]
    assert_moves(lambda b, x: b.op("SpaceToDepth", x, blocksize=block), parts, shape=shape)


def test_it_undoes_depth_to_space() -> None:
    b = ModelBuilder(("N", 8, 3, 5))
    x = b.op("SpaceToDepth", b.op("DepthToSpace", b.image(), blocksize=2), blocksize=2)
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 5, 8))
    assert np.array_equal(bitlens.compile(b.model(x)).run(images)[x], images)


def test_an_image_is_quantized_first() -> None:
    b = ModelBuilder(("N", 3, 8, 8))
    x = b.quant(b.op("SpaceToDepth", "image", blocksize=2), 1 / 255, 8)
    program = bitlens.compile(b.model(b.conv(x, np.ones((2, 12, 1, 1)))))
    assert program.graph.value("image").scale == np.float32(1 / 255)


def test_an_open_size_must_be_a_multiple() -> None:
    b = ModelBuilder(("N", 1, "height", "width"))
    program = bitlens.compile(b.model(b.conv(b.op("SpaceToDepth", b.image(), blocksize=2), np.ones((1, 4, 1, 1)))))
    assert program.graph.value("image").multiples == (2, 2)


def test_blocks_that_do_not_fit_are_refused() -> None:
    for shape, block, sentence in (
        (
            (1, 5, 4),
            2,
            "d: inputs of SpaceToDepth must fit, not (None, 1, 5, 4): blocksize must divide the height and width of "
            "(N, C, H, W), not 2 of (None, 1, 5, 4)",
        ),
        ((1, 16, 16), 16, "d: blocksize must be 2 to 15, not 16; use several SpaceToDepth"),
    ):
        b = ModelBuilder(("N", *shape))
        assert_refused(b.model(b.op("SpaceToDepth", b.image(), blocksize=block, name="d")), sentence)
