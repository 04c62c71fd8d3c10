# SPDX-License-Identifier: Apache-2.0
"""The three products beside a slow model in numpy; beside layers that train they are in tests/nn/test_products.py."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitlens.runtime import SessionError
from bitlens.runtime.products import LayerProducts, convolve
from processors import ISAS


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
    products = LayerProducts(
        *(data.draw(st.sampled_from([1, 2, 3, 4, 6, 8])) for _ in range(3)),
        stride=data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        padding=(int(rng.integers(kernel[0])), int(rng.integers(kernel[1]))),
        threads=data.draw(st.integers(1, 2)),
        isa=data.draw(st.sampled_from(ISAS)),
    )
    images, channels, outputs = (
        data.draw(st.integers(1, 3)),
        data.draw(st.integers(1, 40)),
        data.draw(st.integers(1, 70)),
    )
    size = (int(rng.integers(kernel[0], 9)), int(rng.integers(kernel[1], 9)))
    a = random_codes(rng, products.activation_bits, images, *size, channels)
    w = random_codes(rng, products.weight_bits, outputs, *kernel, channels)
    y = products.forward(a, w)
    g = random_codes(rng, products.gradient_bits, *y.shape)
    expected = tap_by_tap(a, w, y.shape, g, products)
    found = (y, products.backward_input(g, w, size), products.backward_weight(a, g, kernel))
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == np.int32
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("isa", ISAS)
def test_sums_at_the_end_of_their_range_are_exact(isa: str) -> None:
    codes, weights = np.full((1, 1, 1, 4000), 255, np.uint8), np.full((3, 1, 1, 4000), 255, np.uint8)
    assert convolve(codes, 8, weights, 8, isa=isa).tolist() == [[[[4000 * 255 * 255] * 3]]]
    assert convolve(codes, 8, 0 * weights, 8, isa=isa).tolist() == [[[[-4000 * 255 * 255] * 3]]]


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
    assert told(image, (2, *filters)) == "convolve: weights must be one set or 1, one an image, not 2"
    assert told(image, filters, bits=9) == "codes: bits must be 1 to 8, not 9"
    assert told(image, filters, fill=4) == "codes: every code must be below 4, not 4"
    assert told((0, 2, 2, 3), filters) == "codes: must hold values, not be of shape (0, 2, 2, 3)"
    assert told(image, (4, 3, 1, 3)) == "product: kernel must fit into the padded image, not 3x1"
    assert told(image, filters, stride=(1, 0)) == "stride: must be at least 1, not (1, 0)"
    assert told(image, filters, isa="mips") == "isa: must be portable, avx2, avx512 or neon, not mips"
    with pytest.raises(SessionError, match=r"^codes: dtype must be uint8, not int64$"):
        convolve(np.zeros(image, np.int64), 2, np.zeros(filters, np.uint8), 1)  # type: ignore[arg-type]
    with pytest.raises(SessionError, match=r"^product: sums must stay below 2\^28, not 5000 terms of 8 by 8 bits$"):
        convolve(np.zeros((1, 1, 1, 5000), np.uint8), 8, np.zeros((1, 1, 1, 5000), np.uint8), 8)
    with pytest.raises(SessionError, match=r"^padding: must be less than the kernel \(1, 1\), not \(1, 0\)$"):
        LayerProducts(1, 1, 1, padding=(1, 0)).backward_input(
            np.zeros(image, np.uint8), np.zeros((3, 1, 1, 2), np.uint8), (2, 2)
        )
