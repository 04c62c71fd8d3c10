# SPDX-License-Identifier: Apache-2.0
"""The three products beside a slow model in numpy; beside layers that train they are in tests/nn/test_products.py."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlens.runtime import SessionError
from bitlens.runtime.products import LayerProducts, convolve
from processors import ISAS

# a position more or less than the kernels take at a time: 4 positions, 192 * 4 a call, 28 channels, 16 and 64 outputs
EDGES = [
    (channels, outputs, width)
    for channels, outputs, width in [
        (1, 1, 1),
        (7, 15, 3),
        (8, 16, 4),
        (9, 17, 5),
        (27, 63, 767),
        (28, 64, 768),
        (29, 65, 769),
        (56, 33, 1537),
    ]
]


def random_codes(rng: np.random.Generator, bits: int, *shape: int) -> np.ndarray:
    return rng.integers(0, 1 << bits, shape).astype(np.uint8)


def odd(codes: np.ndarray, bits: int) -> np.ndarray:
    return 2 * codes.astype(np.int64) - ((1 << bits) - 1)


def tap_by_tap(
    a: np.ndarray, w: np.ndarray, shape: tuple[int, ...], g: np.ndarray, p: LayerProducts
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The slow model: every tap of the kernel moves, adds or reads one slice of the padded image."""
    (sh, sw), (ph, pw) = p.stride, p.padding
    x = np.pad(a.astype(np.int64), ((0, 0), (ph, ph), (pw, pw), (0, 0)))
    weights = odd(w, p.weight_bits)
    gradients = odd(g, p.gradient_bits)
    y, dx = np.zeros(shape, np.int64), np.zeros_like(x)
    dw = np.zeros((len(a), *w.shape), np.int64)
    for i, j in np.ndindex(*w.shape[1:3]):
        window = np.s_[:, i : i + sh * (shape[1] - 1) + 1 : sh, j : j + sw * (shape[2] - 1) + 1 : sw]
        y += np.einsum("nhwc,oc->nhwo", x[window], weights[:, i, j])
        dx[window] += np.einsum("nhwo,oc->nhwc", gradients, weights[:, i, j])
        dw[:, :, i, j] = np.einsum("nhwo,nhwc->noc", gradients, x[window])
    return y, dx[:, ph : ph + a.shape[1], pw : pw + a.shape[2]], dw


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(0, 2**32 - 1))
def test_all_three_are_the_slow_models_integers(data: st.DataObject, seed: int) -> None:
    rng = np.random.default_rng(seed)
    kernel = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    padding = data.draw(st.tuples(st.integers(0, 4), st.integers(0, 4)))
    products = LayerProducts(
        *(data.draw(st.sampled_from([1, 2, 3, 4, 6, 8])) for _ in range(3)),
        stride=data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        padding=padding,
        threads=data.draw(st.integers(1, 2)),
        isa=data.draw(st.sampled_from(ISAS)),
    )
    images, channels, outputs = (
        data.draw(st.integers(1, 3)),
        data.draw(st.integers(1, 40)),
        data.draw(st.integers(1, 70)),
    )
    size = tuple(int(rng.integers(max(1, side - 2 * pad), 9)) for side, pad in zip(kernel, padding, strict=True))
    a = random_codes(rng, products.activation_bits, images, *size, channels)
    w = random_codes(rng, products.weight_bits, outputs, *kernel, channels)
    y = products.forward(a, w)
    g = random_codes(rng, products.gradient_bits, *y.shape)
    expected = tap_by_tap(a, w, y.shape, g, products)
    found = (y, products.backward_input(g, w, size), products.backward_weight(a, g, kernel))
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == np.int32
        assert np.array_equal(ours, theirs)
    scales = rng.standard_normal(images).astype(np.float32)
    total = products.backward_weight_total(a, g, scales, kernel)
    assert total.dtype == np.float32
    assert np.array_equal(total, scaled_sum(scales, expected[2]))


def scaled_sum(scales: np.ndarray, each: np.ndarray) -> np.ndarray:
    """One sample after the other, in float64; rounded at the end."""
    total = np.zeros(each.shape[1:], np.float64)
    for scale, sums in zip(scales, each, strict=True):
        total += np.float64(scale) * sums
    return total.astype(np.float32)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("channels", "outputs", "width"), EDGES)
def test_weights_meet_gradients_around_the_edges_of_a_tile(isa: str, channels: int, outputs: int, width: int) -> None:
    rng = np.random.default_rng(width)
    products = LayerProducts(1, 2, 4, padding=(0, 1), threads=1, isa=isa)
    a, g = random_codes(rng, 2, 2, 1, width, channels), random_codes(rng, 4, 2, 1, width, outputs)
    scales = rng.standard_normal(2).astype(np.float32)
    x = np.pad(a.astype(np.int64), ((0, 0), (0, 0), (1, 1), (0, 0)))
    taps = [np.einsum("nhwo,nhwc->noc", odd(g, 4), x[:, :, j : j + width]) for j in range(3)]
    expected = np.stack(taps, axis=2)[:, :, None]
    assert np.array_equal(products.backward_weight(a, g, (1, 3)), expected)
    assert np.array_equal(products.backward_weight_total(a, g, scales, (1, 3)), scaled_sum(scales, expected))


@pytest.mark.parametrize("isa", ISAS)
def test_sums_at_the_end_of_their_range_are_exact(isa: str) -> None:
    codes, weights = np.full((1, 1, 1, 4000), 255, np.uint8), np.full((3, 1, 1, 4000), 255, np.uint8)
    assert convolve(codes, 8, weights, 8, isa=isa).tolist() == [[[[4000 * 255 * 255] * 3]]]
    assert convolve(codes, 8, 0 * weights, 8, isa=isa).tolist() == [[[[-4000 * 255 * 255] * 3]]]
    turned = np.full((4000, 1, 1, 3), 255, np.uint8)
    assert convolve(codes, 8, turned, 8, backward=True, isa=isa).tolist() == [[[[4000 * 255 * 255] * 3]]]
    assert convolve(0 * codes, 8, turned, 8, backward=True, isa=isa).tolist() == [[[[-4000 * 255 * 255] * 3]]]
    products = LayerProducts(1, 8, 8, isa=isa)
    activations, gradients = np.full((2, 40, 100, 1), 255, np.uint8), np.full((2, 40, 100, 1), 255, np.uint8)
    gradients[1] = 0
    assert products.backward_weight(activations, gradients, (1, 1)).ravel().tolist() == [
        4000 * 255 * 255,
        -4000 * 255 * 255,
    ]
    scales = np.array([2.0**40, 2.0**-20], np.float32)
    total = products.backward_weight_total(activations, gradients, scales, (1, 1))
    assert total.ravel().tolist() == [np.float32(4000 * 255 * 255 * (2.0**40 - 2.0**-20))]


def test_mistakes_are_told_in_one_line() -> None:
    def told(codes: tuple[int, ...], weights: tuple[int, ...], fill: int = 0, **options: object) -> str:
        arrays = np.full(codes, fill, np.uint8), np.zeros(weights, np.uint8)
        with pytest.raises(SessionError) as caught:
            convolve(arrays[0], options.pop("bits", 2), arrays[1], 1, **options)  # type: ignore[arg-type]
        return str(caught.value)

    image, filters = (1, 2, 2, 3), (4, 1, 1, 3)
    assert told(image, (4, 1, 1, 2)) == (
        "convolve: codes (N, H, W, C) and weights (O, kernel h, kernel w, C) must have one C, not (1, 2, 2, 3) and "
        "(4, 1, 1, 2)"
    )
    assert told(image, (2, 1, 1, 4), backward=True) == (
        "convolve: codes (N, H, W, C) and weights (C, kernel h, kernel w, O) must have one C, not (1, 2, 2, 3) and "
        "(2, 1, 1, 4)"
    )
    assert told(image, filters, bits=9) == "codes: bits must be 1 to 8, not 9"
    assert told(image, filters, fill=4) == "codes: every code must be below 4, not 4"
    assert told((0, 2, 2, 3), filters) == "codes: must hold values, not be of shape (0, 2, 2, 3)"
    assert told(image, (4, 3, 1, 3)) == "product: kernel must fit into the padded image, not 3x1"
    assert told(image, filters, stride=(1, 0)) == "stride: must be two integers of 1 to 268435456, not (1, 0)"
    assert told(image, filters, pads=(0, 0, 0)) == "pads: must be four integers of 0 to 268435456, not (0, 0, 0)"
    assert (
        told(image, filters, pads=(0, -1, 0, 0)) == "pads: must be four integers of 0 to 268435456, not (0, -1, 0, 0)"
    )
    assert told(image, filters, threads=1 << 40).startswith("threads: must be an integer from 1 to 2147483647, not ")
    wide = (1 << 28,) * 4
    assert (
        told(image, filters, pads=wide)
        == f"result: must fit into memory, not be of shape (1, {2**29 + 2}, {2**29 + 2}, 4)"
    )
    assert told(image, filters, isa="mips") == "isa: must be portable, avx2, avx512 or neon, not mips"
    with pytest.raises(SessionError, match=r"^codes: dtype must be uint8, not int64$"):
        convolve(np.zeros(image, np.int64), 2, np.zeros(filters, np.uint8), 1)  # type: ignore[arg-type]
    with pytest.raises(SessionError, match=r"^product: sums must stay below 2\^28, not 5000 terms of 8 by 8 bits$"):
        convolve(np.zeros((1, 1, 1, 5000), np.uint8), 8, np.zeros((1, 1, 1, 5000), np.uint8), 8)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("pad", [0, 1, 2])
def test_gradients_go_back_to_the_sizes_that_give_their_map(stride: int, pad: int) -> None:
    products = LayerProducts(1, 2, 4, stride=(stride, 1), padding=(pad, 0))
    gradients, weights = np.zeros((1, 4, 1, 2), np.uint8), np.zeros((2, 3, 1, 5), np.uint8)
    fitting = []
    for side in range(20):
        try:
            assert products.backward_input(gradients, weights, (side, 1)).shape == (1, side, 1, 5)
        except SessionError:
            continue
        fitting.append(side)
    maps = {
        side: products.forward(np.zeros((1, side, 1, 5), np.uint8), weights).shape[1]
        for side in range(max(1, 3 - 2 * pad), 20)
    }
    assert fitting == [side for side, high in maps.items() if high == 4]
    assert len(fitting) == stride


def test_mistakes_about_input_gradients_are_told_in_one_line() -> None:
    def told(
        size: tuple[int, int] = (4, 4),
        gradients: tuple[int, ...] = (1, 4, 4, 2),
        weights: tuple[int, ...] = (2, 3, 3, 5),
        **options: object,
    ) -> str:
        products = LayerProducts(1, 2, 4, **({"padding": (1, 1)} | options))  # type: ignore[arg-type]
        with pytest.raises(SessionError) as caught:
            products.backward_input(np.full(gradients, 15, np.uint8), np.zeros(weights, np.uint8), size)
        return str(caught.value)

    assert told((9, 9)) == "input gradient: the map of gradients must be 9x9, not 4x4"
    assert told((4, 3)) == "input gradient: the map of gradients must be 4x3, not 4x4"
    assert told((9, 9), stride=(2, 3)) == "input gradient: the map of gradients must be 5x3, not 4x4"
    assert told((4, 4), padding=(0, 0)) == "input gradient: the map of gradients must be 2x2, not 4x4"
    assert told((0, 0)) == "size: must be two integers of 1 to 268435456, not (0, 0)"
    assert told((-1, 4)) == "size: must be two integers of 1 to 268435456, not (-1, 4)"
    assert told((4,)) == "size: must be two integers of 1 to 268435456, not (4,)"  # type: ignore[arg-type]
    assert told((4, 4), weights=(2, 7, 3, 5)) == "input gradient: kernel must fit into the padded image, not 7x3"
    assert told(weights=(3, 3, 3, 5)) == (
        "input gradient: gradients (N, H, W, O) and weights (O, kernel h, kernel w, C) must have one O, not (1, 4, 4, 2) "
        "and (3, 3, 3, 5)"
    )
    far = {"stride": (1 << 28, 1 << 28), "size": (1 << 28, 1 << 28), "gradients": (2, 1, 1, 2)}
    assert told(**far) == f"result: must fit into memory, not be of shape (2, {1 << 28}, {1 << 28}, 5)"  # type: ignore[arg-type]
    assert told(gradients=(4, 4, 2)).endswith("must have one O, not (4, 4, 2) and (2, 3, 3, 5)")
    # where no input meets a gradient, too: the only ones are in the padding
    gradients, weights = np.full((1, 2, 2, 2), 15, np.uint8), np.zeros((2, 1, 1, 5), np.uint8)
    around = {"stride": (2, 2), "padding": (1, 1)}
    assert LayerProducts(1, 2, 4, **around).backward_input(gradients, weights, (1, 1)).tolist() == [[[[0] * 5]]]
    with pytest.raises(SessionError, match=r"^gradients: every code must be below 8, not 15$"):
        LayerProducts(1, 2, 3, **around).backward_input(gradients, weights, (1, 1))
    with pytest.raises(SessionError, match=r"^weights: bits must be 1 to 8, not 0$"):
        LayerProducts(0, 2, 4, **around).backward_input(gradients, weights, (1, 1))


@pytest.mark.parametrize("pair", [(0, 1), (1, -2), (1,), (1, 1, 1), (1, (1 << 28) + 1), (1.5, 1)])
def test_a_stride_that_cannot_be_is_refused(pair: tuple[int, int]) -> None:
    with pytest.raises(SessionError) as caught:
        LayerProducts(1, 2, 4, stride=pair)
    assert str(caught.value) == f"stride: must be two integers of 1 to 268435456, not {pair}"


def test_the_largest_stride_meets_each_window_once() -> None:
    products = LayerProducts(1, 2, 4, stride=(1 << 28, 1 << 28))
    codes, weights, gradients = (
        np.full((1, 3, 3, 1), 2, np.uint8),
        np.ones((1, 2, 2, 1), np.uint8),
        np.full((1, 1, 1, 1), 15, np.uint8),
    )
    assert products.forward(codes, weights).tolist() == [[[[8]]]]
    assert products.backward_input(gradients, weights, (3, 3))[0, :, :, 0].tolist() == [
        [15, 15, 0],
        [15, 15, 0],
        [0, 0, 0],
    ]
    assert products.backward_weight(codes, gradients, (2, 2)).ravel().tolist() == [30] * 4


@pytest.mark.parametrize("pair", [(-1, 0), (0, -1), (0,), (0, 0, 0), ((1 << 28) + 1, 0)])
def test_a_padding_that_cannot_be_is_refused(pair: tuple[int, int]) -> None:
    with pytest.raises(SessionError) as caught:
        LayerProducts(1, 2, 4, padding=pair)
    assert str(caught.value) == f"padding: must be two integers of 0 to 268435456, not {pair}"


def test_mistakes_about_weights_gradients_are_told_in_one_line() -> None:
    def told(
        gradients: tuple[int, ...] = (2, 3, 3, 5), kernel: tuple[int, int] = (2, 2), scales: int = 2, **options: object
    ) -> str:
        fill = options.pop("fill", 0)
        products = LayerProducts(1, options.pop("bits", 2), 4, **options)  # type: ignore[arg-type]
        a, g = np.full((2, 4, 4, 3), fill, np.uint8), np.zeros(gradients, np.uint8)
        with pytest.raises(SessionError) as caught:
            products.backward_weight_total(a, g, np.ones(scales, np.float32), kernel)
        if scales == 2:
            with pytest.raises(SessionError) as again:
                products.backward_weight(a, g, kernel)
            assert str(again.value) == str(caught.value)
        return str(caught.value)

    for refused in ((1 << 40, 1), (-1, 1), (1,), (1, 1, 1), (0, 1), (1.0, 1)):
        assert told(kernel=refused) == f"kernel: must be two integers of 1 to 268435456, not {refused}"  # type: ignore[arg-type]
    assert told((2, 3, 5)) == "gradients: must be (N, H, W, channels), not (2, 3, 5)"
    assert told((2, 3, 3, 5, 1)) == "gradients: must be (N, H, W, channels), not (2, 3, 3, 5, 1)"
    assert told(threads=-1) == "threads: must be an integer from 1 to 2147483647, not -1"
    assert told(scales=3) == "scales: must be float32 (2,), not float32 (3,)"
    assert told((3, 3, 3, 5)) == "gradients: must be of 2 samples, not 3"
    assert told(fill=4) == "activations: every code must be below 4, not 4"
    assert told(bits=0) == "activations: bits must be 1 to 8, not 0"
    assert told((2, 3, 3, 0)) == "gradients: must hold values, not be of shape (2, 3, 3, 0)"
    assert told((2, 2, 3, 5)) == "weight gradient: the map of gradients must be 3x3, not 2x3"
    assert told(kernel=(5, 1)) == "weight gradient: kernel must fit into the padded image, not 5x1"
    assert told(isa="mips") == "isa: must be portable, avx2, avx512 or neon, not mips"
    large = (np.zeros((1, 2, 2, 3), np.uint8), np.zeros((1, 2, 2, 5), np.uint8), (1 << 28, 1 << 28))
    side = 1 << 28
    with pytest.raises(
        SessionError, match=rf"^result: must fit into memory, not be of shape \(1, {side}, {side}, 3, 5\)$"
    ):
        LayerProducts(1, 8, 8).backward_weight(*large)
    maps = np.zeros((1, 2, 3), np.uint8)
    with pytest.raises(SessionError, match=r"^activations: must be \(N, H, W, channels\), not \(1, 2, 3\)$"):
        LayerProducts(1, 8, 8).backward_weight(maps, maps, (1, 1))
    with pytest.raises(SessionError, match=r"^scales: must be float32 \(1,\), not float64 \(1,\)$"):
        LayerProducts(1, 8, 8).backward_weight_total(maps[None], maps[None], [1.0], (1, 1))  # type: ignore[arg-type]
    wide = np.zeros((1, 1, 5000, 1), np.uint8)
    with pytest.raises(
        SessionError, match=r"^weight gradient: sums must stay below 2\^28, not 5000 terms of 8 by 8 bits$"
    ):
        LayerProducts(1, 8, 8).backward_weight(wide, wide, (1, 1))
