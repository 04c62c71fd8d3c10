# SPDX-License-Identifier: Apache-2.0
import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bitlens.nn import QuantGlobalAvgPool2d
from bitlens.quant import DoReFaActivation, exporting


@given(st.integers(1, 8), st.integers(1, 9), st.integers(1, 9), st.booleans(), st.integers(0, 1 << 30))
@settings(deadline=None, max_examples=40)
def test_the_mean_is_an_exact_sum_of_integers(bits: int, height: int, width: int, training: bool, seed: int) -> None:
    x = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(seed))
    pool = QuantGlobalAvgPool2d(input_quantizer=DoReFaActivation(bits)).train(training)
    integers, scale = pool.input_quantizer.codes(x)
    unit = np.float32(scale) / np.float32(height * width)
    assert np.array_equal(pool(x).numpy(), integers.numpy().astype(np.int64).sum((2, 3)).astype(np.float32) * unit)
    with exporting():
        assert torch.allclose(pool(x), pool.input_quantizer(x).mean((2, 3)))


def test_without_a_quantizer_it_is_the_mean() -> None:
    x = torch.randn(2, 3, 4, 5)
    assert torch.equal(QuantGlobalAvgPool2d()(x), x.mean((2, 3)))
    assert torch.equal(QuantGlobalAvgPool2d(input_quantizer=nn.ReLU())(x), x.relu().mean((2, 3)))


def test_the_gradient_is_spread_over_the_map() -> None:
    x = torch.full((1, 1, 2, 4), 0.5, requires_grad=True)
    QuantGlobalAvgPool2d(input_quantizer=DoReFaActivation(2))(x).sum().backward()
    assert torch.allclose(x.grad, torch.full((1, 1, 2, 4), 1 / 8))
