# SPDX-License-Identifier: Apache-2.0
"""QuantLayer through its two subclasses: exact sums, equality with the real product, frozen integers, export."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bitlens.nn import QuantConv2d, QuantLinear, freeze
from bitlens.quant import (
    AccumulatorBias,
    DoReFaActivation,
    DoReFaGradient,
    DoReFaWeight,
    NarrowWeight,
    QuantError,
    Spec,
    UnsignedInput,
    exporting,
)


def conv(weight_bits: int, activation_bits: int, **options: object) -> QuantConv2d:
    return QuantConv2d(
        8,
        6,
        3,
        weight_quantizer=DoReFaWeight(weight_bits),
        input_quantizer=DoReFaActivation(activation_bits),
        **options,
    )


def integer_sum(layer: QuantConv2d, x: Tensor) -> np.ndarray:
    """The accumulator in int64, by sliding windows."""
    assert isinstance(layer.input_quantizer, DoReFaActivation)
    a = layer.input_quantizer.codes(x)[0].long()
    w = layer.weight_quantizer.codes(layer.weight)[0].long()
    pad = layer.padding[0]
    a = nn.functional.pad(a, (pad, pad, pad, pad))
    windows = a.unfold(2, 3, 1).unfold(3, 3, 1)  # (N, C, H, W, 3, 3)
    return torch.einsum("nchwij,ocij->nohw", windows, w).numpy()


@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 1), st.integers(0, 1 << 30))
@settings(deadline=None, max_examples=40)
def test_sums_are_exact_and_scaled_once(weight_bits: int, activation_bits: int, padding: int, seed: int) -> None:
    torch.manual_seed(seed)
    layer = conv(weight_bits, activation_bits, padding=padding, bias=False).eval()
    x = torch.randn(2, 8, 6, 6)
    scale = layer.weight_quantizer.codes(layer.weight)[1] * layer.input_quantizer.scale
    expected = torch.from_numpy(integer_sum(layer, x)).float() * scale
    assert torch.equal(layer(x), expected)
    real = nn.functional.conv2d(layer.input_quantizer(x), layer.weight_quantizer(layer.weight), padding=padding)
    assert torch.allclose(layer(x), real, atol=1e-3 * float(real.detach().abs().max()))


def test_sums_beyond_float32_are_exact_in_evaluation() -> None:
    layer = QuantLinear(
        4096, 3, bias=False, weight_quantizer=DoReFaWeight(8), input_quantizer=DoReFaActivation(16)
    ).eval()
    x = torch.rand(5, 4096)
    a, w = layer.input_quantizer.codes(x)[0].long(), layer.weight_quantizer.codes(layer.weight)[0].long()
    total = a @ w.T
    assert total.abs().max() > 1 << 24
    scale = layer.weight_quantizer.scale * layer.input_quantizer.scale
    assert torch.equal(layer(x), total.float() * scale)


@pytest.mark.parametrize(("weight_bits", "activation_bits"), [(1, 2), (2, 2), (8, 8)])
def test_gradients_equal_those_of_the_real_product(weight_bits: int, activation_bits: int) -> None:
    torch.manual_seed(0)
    layer = conv(weight_bits, activation_bits, padding=1)
    x = torch.randn(2, 8, 5, 5, requires_grad=True)
    g = torch.randn(2, 6, 5, 5)
    layer(x).backward(g)
    got = [x.grad, layer.weight.grad, layer.bias.grad]
    x.grad, layer.weight.grad, layer.bias.grad = None, None, None
    real = nn.functional.conv2d(layer.input_quantizer(x), layer.weight_quantizer(layer.weight), layer.bias, padding=1)
    real.backward(g)
    for mine, theirs in zip(got, [x.grad, layer.weight.grad, layer.bias.grad], strict=True):
        assert torch.allclose(mine, theirs, atol=1e-4 * float(theirs.abs().max()))


def test_one_quantizer_alone() -> None:
    x = torch.randn(2, 8)
    only_weights = QuantLinear(8, 4, weight_quantizer=DoReFaWeight(2))
    w = only_weights.weight_quantizer(only_weights.weight)
    assert torch.allclose(only_weights(x), nn.functional.linear(x, w, only_weights.bias), atol=1e-6)
    only_inputs = QuantLinear(8, 4, input_quantizer=DoReFaActivation(2))
    a = only_inputs.input_quantizer(x)
    assert torch.allclose(only_inputs(x), nn.functional.linear(a, only_inputs.weight, only_inputs.bias), atol=1e-6)
    plain = QuantLinear(8, 4, input_quantizer=nn.ReLU())
    assert torch.equal(plain(x), nn.functional.linear(x.relu(), plain.weight, plain.bias))


def test_bias_on_the_accumulators_grid() -> None:
    layer = QuantLinear(
        8,
        4,
        input_quantizer=UnsignedInput(),
        weight_quantizer=NarrowWeight(),
        bias_quantizer=AccumulatorBias(),
    ).eval()
    x = torch.rand(3, 8)
    integers, scale = layer.weight_quantizer.codes(layer.weight)
    unit = scale * layer.input_quantizer.scale
    bias = torch.floor(layer.bias / unit + 0.5)
    total = layer.input_quantizer.codes(x)[0] @ integers.T + bias
    assert torch.equal(layer(x), total * unit)
    layer(x).sum().backward()
    assert torch.allclose(layer.bias.grad, torch.full((4,), 3.0), rtol=1e-5)


def test_bias_quantizer_needs_both_others() -> None:
    with pytest.raises(QuantError) as caught:
        QuantLinear(8, 4, weight_quantizer=NarrowWeight(), bias_quantizer=AccumulatorBias())
    assert str(caught.value) == "QuantLinear: bias_quantizer must have quantized weights and inputs beside it"


def test_gradient_quantizer_acts_on_the_output() -> None:
    layer = QuantLinear(4, 3, gradient_quantizer=DoReFaGradient(1))
    x = torch.randn(2, 4, requires_grad=True)
    layer(x).backward(torch.tensor([[1.0, 0.2, -0.1], [0.0, 0.0, 0.0]]))
    assert layer.bias.grad.abs().tolist() == [1, 1, 1]  # one sample's +-m, the other's zero


def test_grids_are_told() -> None:
    layer = conv(2, 3)
    assert str(layer.weight_grid) == "odd 2"
    assert str(layer.input_grid) == "unsigned 3"
    assert QuantLinear(2, 2).weight_grid is None
    assert QuantLinear(2, 2, input_quantizer=nn.ReLU()).input_grid is None


def test_exported_form_computes_the_same_reals() -> None:
    torch.manual_seed(0)
    for layer in (conv(1, 2, padding=1), conv(3, 4), QuantLinear(8, 4), conv(8, 8, bias=False)):
        freeze(layer)
        x = torch.rand(2, 8, 6, 6) if isinstance(layer, QuantConv2d) else torch.rand(2, 8)
        with exporting():
            exported = layer(x)
        assert torch.allclose(exported, layer(x), atol=1e-5 * float(exported.detach().abs().max()))


def test_live_weights_are_not_exported() -> None:
    with exporting(), pytest.raises(QuantError) as caught:
        conv(1, 2)(torch.rand(1, 8, 4, 4))
    assert str(caught.value) == "QuantConv2d: weights must be frozen before an export, call freeze(model)"


@pytest.mark.parametrize(
    "spec",
    [
        "w2a2,weight=lsq,activation=lsq",
        "w3a3,weight=lsq_channel,activation=pact",
        "w2a2,scale=pow2,weight=lsq,activation=pact",
    ],
)
def test_a_float_checkpoint_starts_what_is_learned(spec: str) -> None:
    """No key is missing, and a learned step follows the loaded weights, in the very parameter an optimizer holds."""
    parsed = Spec.parse(spec)
    layer = QuantLinear(6, 4, input_quantizer=parsed.activation_quantizer(), weight_quantizer=parsed.weight_quantizer())
    held = [parameter for name, parameter in layer.named_parameters() if name.endswith("reach") and "weight" in name]
    other = QuantLinear(6, 4, input_quantizer=parsed.activation_quantizer(), weight_quantizer=parsed.weight_quantizer())
    big = nn.Linear(6, 4)
    with torch.no_grad():
        big.weight.mul_(50)
    keys = layer.load_state_dict(big.state_dict())
    assert not keys.missing_keys
    assert not keys.unexpected_keys
    other.weight.data = big.weight.data.clone()
    other.weight_quantizer.begin(other.weight)
    for parameter, fresh in zip(
        held, [p for n, p in other.named_parameters() if n.endswith("reach") and "weight" in n], strict=True
    ):
        assert torch.equal(parameter, fresh)
        assert any(parameter is own for own in layer.parameters())
