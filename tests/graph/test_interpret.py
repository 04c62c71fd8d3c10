# SPDX-License-Identifier: Apache-2.0
"""The golden interpreter against loops that spell out each op."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlens.core.grid import Grid
from bitlens.graph.graph import GraphError, Node
from bitlens.graph.interpret import run_node
from bitlens.graph.ops import window_attrs
from programs import chain_program, random_inputs


@st.composite
def windows(draw: st.DrawFn) -> dict[str, tuple[int, ...]]:
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel, dilation = draw(pair), draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    extent = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    pads = tuple(draw(st.integers(0, extent[axis % 2] - 1)) for axis in range(4))
    return window_attrs(kernel, draw(pair), pads, dilation)


def _taps(x: np.ndarray, attrs: dict[str, tuple[int, ...]], oy: int, ox: int) -> list[tuple[int, int, np.ndarray]]:
    """The pixels under a window that lie inside the image."""
    found = []
    for ky in range(attrs["kernel"][0]):
        for kx in range(attrs["kernel"][1]):
            y = oy * attrs["stride"][0] - attrs["pads"][0] + ky * attrs["dilation"][0]
            z = ox * attrs["stride"][1] - attrs["pads"][1] + kx * attrs["dilation"][1]
            if 0 <= y < x.shape[0] and 0 <= z < x.shape[1]:
                found.append((ky, kx, x[y, z]))
    return found


@given(windows(), st.sampled_from([(4, 1), (4, 2), (4, 4)]), st.integers(0, 1 << 30))
@settings(deadline=None, max_examples=60)
def test_windows(attrs: dict[str, tuple[int, ...]], depth: tuple[int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    channels, groups = depth
    x = rng.integers(-4, 5, (1, 7, 6, channels))
    weights = rng.integers(-3, 4, (8, *attrs["kernel"], channels // groups))
    bias = rng.integers(-9, 9, 8)
    conv = run_node(Node("conv", "c", [], [], attrs | {"weights": weights, "groups": groups, "bias": bias}), [x])
    top = run_node(Node("max_pool", "m", [], [], attrs), [x])
    total = run_node(Node("sum_pool", "s", [], [], attrs), [x])
    per_group = channels // groups
    for oy in range(conv.shape[1]):
        for ox in range(conv.shape[2]):
            taps = _taps(x[0], attrs, oy, ox)
            assert total[0, oy, ox].tolist() == sum((p for *_, p in taps), np.zeros(channels, int)).tolist()
            if taps:
                assert top[0, oy, ox].tolist() == np.max([p for *_, p in taps], axis=0).tolist()
            for o in range(8):
                g = o // (8 // groups)
                mine = slice(g * per_group, (g + 1) * per_group)
                assert conv[0, oy, ox, o] == bias[o] + sum(int(weights[o, ky, kx] @ p[mine]) for ky, kx, p in taps)


def test_joins() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(-9, 9, (2, 2, 3, 4, 5))
    assert np.array_equal(run_node(Node("add", "a", [], []), [a, b]), a + b)
    assert np.array_equal(run_node(Node("concat", "c", [], []), [a, b])[..., 5:], b)
    assert run_node(Node("flatten", "f", [], []), [a])[1, 0, 0].tolist() == a[1].ravel().tolist()


@pytest.mark.parametrize("repeat", [0, 1])
def test_upsample_and_crop(repeat: int) -> None:
    x = np.arange(1, 7).reshape(1, 2, 3, 1)
    attrs = {"factor": (2, 3), "repeat": repeat, "pads": (1, -2, 0, 1)}
    large = run_node(Node("upsample", "u", [], [], attrs), [x])
    assert large.shape == (1, 5, 8, 1)
    for y in range(5):
        for column in range(8):
            row, place = y - 1, column + 2
            inside = row >= 0 and place < 9
            hit = inside and (repeat or (row % 2 == 0 and place % 3 == 0))
            assert large[0, y, column, 0] == (x[0, row // 2, place // 3, 0] if hit else 0)
    assert np.array_equal(run_node(Node("crop", "c", [], []), [large, x]), large[:, :2, :3])


def test_keep_gives_every_tensor_and_batches_join() -> None:
    program = chain_program(1)
    x = random_inputs(program, 130, 0)
    kept = program.run(x, keep=True)
    assert kept.keys() == {node.output for node in program.graph}
    one = program.run({"image": x["image"][129:]})
    assert np.array_equal(one["conv9"][0], kept["conv9"][129])


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (np.zeros((1, 9, 7, 4), int), "image: shape must be (N, 9, 7, 3), not (1, 9, 7, 4)"),
        (np.zeros((9, 7, 3), int), "image: shape must be (N, 9, 7, 3), not (9, 7, 3)"),
        (np.zeros((1, 9, 7, 3), bool), "image: dtype must be an integer or float type, not bool"),
        (np.full((1, 9, 7, 3), 256), "image: every integer must be on the grid unsigned 8, not 256"),
    ],
)
def test_errors(x: np.ndarray, sentence: str) -> None:
    with pytest.raises(GraphError, match=f"^{re.escape(sentence)}$"):
        chain_program(0).run(x)
    assert Grid.unsigned(8).hi == 255


def test_a_missing_input_is_named() -> None:
    with pytest.raises(GraphError, match="^inputs: names must be image, not picture$"):
        chain_program(0).run({"picture": np.zeros(1)})
