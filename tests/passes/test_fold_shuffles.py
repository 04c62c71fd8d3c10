# SPDX-License-Identifier: Apache-2.0
"""Shuffles written as Reshape, Transpose, Reshape, beside ONNX Runtime on whole numbers."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlens.passes.fold_shuffles import fold_shuffles
from qonnx_models import ModelBuilder
from stages import after, assert_moves, assert_refused

_PARTS = ["max_pool", *["upsample", "max_pool"] * 3, "concat"]


def _run(inner: Sequence[int], order: Sequence[int], outer: Sequence[int]) -> Callable[[ModelBuilder, str], str]:
    """Reshape, Transpose, Reshape; sizes and axes of one image, the batch left out."""

    def make(b: ModelBuilder, x: str) -> str:
        x = b.op("Reshape", x, b.constant([0, *inner], np.int64))
        x = b.op("Transpose", x, perm=[0, *(axis + 1 for axis in order)])
        return b.op("Reshape", x, b.constant([-1, *outer], np.int64), name="shuffle")

    return make


@pytest.mark.parametrize("groups", [2, 4])
def test_channel_shuffles(groups: int) -> None:
    assert_moves(_run([groups, 8 // groups, 6, 7], [1, 0, 2, 3], [8, 6, 7]), ["select"])


@pytest.mark.parametrize(
    ("inner", "order", "ops"),
    [
        ([2, 2, 2, 6, 7], [2, 3, 0, 4, 1], ["depth_to_space"]),  # blocks first, as ONNX's DCR
        ([2, 2, 2, 6, 7], [0, 3, 1, 4, 2], ["select", "depth_to_space"]),  # channels first, as CRD and torch
        ([2, 2, 2, 6, 7], [0, 3, 2, 4, 1], ["select", "depth_to_space"]),  # transposed blocks
    ],
)
def test_pixel_shuffles(inner: list[int], order: list[int], ops: list[str]) -> None:
    assert_moves(_run(inner, order, [2, 12, 14]), ops)


@pytest.mark.parametrize(
    ("order", "ops"),
    [
        ([2, 4, 0, 1, 3], _PARTS),  # blocks first, as SpaceToDepth
        ([0, 2, 4, 1, 3], [*_PARTS, "select"]),  # channels first, as torch's pixel_unshuffle
    ],
)
def test_pixel_unshuffles(order: list[int], ops: list[str]) -> None:
    assert_moves(_run([3, 4, 2, 5, 2], order, [12, 4, 5]), ops, shape=(2, 3, 8, 10))


@given(order=st.permutations(range(5)), block=st.sampled_from([(3, 2, 2, 3, 2), (2, 2, 3, 2, 3), (4, 3, 2, 2, 2)]))
@settings(deadline=None, max_examples=60)
def test_what_is_folded_is_what_the_numbers_do(order: list[int], block: tuple[int, ...]) -> None:
    """Any order of five axes: what is folded compiles to what ONNX Runtime does; the rest stays and is refused."""
    channels, height, width = block[0], block[1] * block[2], block[3] * block[4]
    outer = [block[axis] for axis in order]
    make = _run(block, order, [outer[0], outer[1] * outer[2], outer[3] * outer[4]])
    b = ModelBuilder(("N", channels, height, width))
    graph = after(b.model(make(b, b.image())), "unify_operators")
    before = [node.op for node in graph]
    fold_shuffles(graph)
    if [node.op for node in graph] != before:
        assert not {"Reshape", "Transpose"}.intersection(node.op for node in graph)
        assert_moves(make, None, shape=(2, channels, height, width))


def _left(b: ModelBuilder, x: str) -> list[str]:
    return [node.op for node in after(b.model(x), "fold_shuffles") if node.op in ("Reshape", "Transpose")]


def test_what_is_read_in_between_stays() -> None:
    b = ModelBuilder(("N", 4, 3, 3))
    x = b.image()
    parts = b.op("Reshape", x, b.constant([0, 2, 2, 3, 3], np.int64))
    y = b.op("Transpose", parts, perm=[0, 2, 1, 3, 4])
    y = b.op("Reshape", y, b.constant([0, 4, 3, 3], np.int64))
    assert "Transpose" in [node.op for node in after(b.model(y, parts), "fold_shuffles")]


def test_other_orders_and_open_sizes_stay_and_are_refused() -> None:
    b = ModelBuilder(("N", 4, 3, 3))
    x = _run([4, 9], [1, 0], [4, 3, 3])(b, b.image())  # pixels among the channels
    assert _left(b, x) == ["Reshape", "Transpose", "Reshape"]
    assert_refused(
        b.model(b.conv(x, np.ones((1, 4, 1, 1)))),
        "reshape_1: reshape must flatten a map in front of a matrix product, not turn (None, 4, 3, 3) into "
        "(None, 4, 9); quantize behind it, per tensor",
    )
