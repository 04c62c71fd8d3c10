# SPDX-License-Identifier: Apache-2.0
"""Which shapes layers take, and that per-channel values stand on the right axis."""

import re

import pytest
import torch
from torch import nn

from bitlens.nn import BatchNorm2d, QuantAdd, QuantConv1d, QuantConv2d, QuantConvTranspose2d, QuantLinear
from bitlens.quant import BipolarWeight, DoReFaActivation, DoReFaWeight, QuantError


@pytest.mark.parametrize("weight", [DoReFaWeight(2), BipolarWeight(1)])
@pytest.mark.parametrize("shape", [(2, 3, 4), (3, 2, 5, 4), (2, 4)])
def test_a_linear_layer_takes_any_dimensions_in_front(weight: nn.Module, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer = QuantLinear(4, 3, weight_quantizer=weight, input_quantizer=DoReFaActivation(2))
    nn.init.uniform_(layer.bias, 5, 9)
    x = torch.rand(shape)
    wanted = layer(x.reshape(-1, 4)).reshape(*shape[:-1], 3)
    assert torch.equal(layer(x), wanted)


@pytest.mark.parametrize(
    ("layer", "x", "wanted"),
    [
        (QuantConv2d(2, 4, 3), torch.rand(2, 5, 5), "(N, C, H, W)"),
        (QuantConvTranspose2d(2, 4, 3), torch.rand(2, 5, 5), "(N, C, H, W)"),
        (QuantConv1d(2, 4, 3), torch.rand(2, 5), "(N, C, L)"),
    ],
)
def test_a_convolution_takes_a_batch(layer: nn.Module, x: torch.Tensor, wanted: str) -> None:
    sentence = f"{type(layer).__name__}: input must be {wanted}, not of {x.dim()} dimensions"
    with pytest.raises(QuantError, match=f"^{re.escape(sentence)}$"):
        layer(x)
    assert layer(x[None]).shape[:2] == (1, 4)


@pytest.mark.parametrize("shape", [(2, 1, 4, 4), (5, 3), (2, 4, 4, 4), (2, 3, 4, 4, 1)])
def test_batch_norm_takes_its_channels(shape: tuple[int, ...]) -> None:
    with pytest.raises(QuantError, match=rf"^BatchNorm2d: input must be \(N, 3, H, W\), not {re.escape(str(shape))}$"):
        BatchNorm2d(3).eval()(torch.rand(shape))


def test_sums_are_of_equal_shapes() -> None:
    a, b = torch.rand(2, 3, 4, 4), torch.rand(2, 1, 1, 1)
    sentence = "QuantAdd: branches must have one shape, not (2, 3, 4, 4) and (2, 1, 1, 1)"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        QuantAdd()(a, b)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"kernel_size": (3, 3)}, "kernel_size must be an integer of at least 1, not (3, 3)"),
        ({"kernel_size": 3, "stride": 0}, "stride must be an integer of at least 1, not 0"),
        ({"kernel_size": 3, "dilation": 0}, "dilation must be an integer of at least 1, not 0"),
    ],
)
def test_numbers_of_a_transposed_convolution(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^QuantConvTranspose2d: {re.escape(sentence)}$"):
        QuantConvTranspose2d(4, 6, **options)
