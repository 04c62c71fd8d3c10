# SPDX-License-Identifier: Apache-2.0
"""The engine's three products beside layers that train."""

import numpy as np
import pytest
import torch
from torch import Tensor

from bitlens.nn import QuantConv2d, QuantLinear
from bitlens.quant import DoReFaActivation, DoReFaGradient, DoReFaWeight, dorefa_gradient_codes
from bitlens.runtime.products import LayerProducts


@pytest.mark.parametrize("bits", [(1, 1, 2), (1, 2, 6), (1, 4, 4), (2, 2, 4), (8, 8, 8)])
@pytest.mark.parametrize("kind", ["conv", "linear"])
def test_a_layer_that_trains_has_these_integers(bits: tuple[int, int, int], kind: str) -> None:
    """One step of a DoReFa layer: its own quantizers give codes; its output and gradients follow from the engine's sums."""
    torch.manual_seed(0)
    w_bits, a_bits, g_bits = bits
    quantizers = {
        "input_quantizer": DoReFaActivation(a_bits),
        "weight_quantizer": DoReFaWeight(w_bits),
        "gradient_quantizer": DoReFaGradient(g_bits, seed=5),
    }
    if kind == "conv":
        layer: QuantConv2d | QuantLinear = QuantConv2d(9, 17, 3, stride=2, padding=1, bias=False, **quantizers)
        x = torch.rand(4, 9, 7, 8, requires_grad=True)
        products = LayerProducts(w_bits, a_bits, g_bits, stride=(2, 2), padding=(1, 1), threads=1)
    else:
        layer = QuantLinear(70, 17, bias=False, **quantizers)
        x = torch.rand(4, 70, requires_grad=True)
        products = LayerProducts(w_bits, a_bits, g_bits, threads=1)

    def last(values: Tensor) -> np.ndarray:
        """(N, ...) to (N, H, W, C), bytes."""
        values = values.permute(0, 2, 3, 1) if values.dim() == 4 else values[:, None, None, :]
        return values.contiguous().to(torch.uint8).numpy()

    def first(values: np.ndarray) -> Tensor:
        values = torch.from_numpy(values)
        return values.permute(0, 3, 1, 2) if kind == "conv" else values[:, 0, 0, :]

    integers, w_scale = (part.detach() for part in layer.weight_quantizer.codes(layer.weight))
    weights = last((integers + (1 << w_bits) - 1) / 2)
    activations, a_scale = (part.detach() for part in layer.input_quantizer.codes(x))
    y = layer(x)
    sums = products.forward(last(activations), weights)
    assert torch.equal(y, first(sums).float() * (w_scale * a_scale))

    above = torch.randn_like(y)
    mixed = (5 * 0x9E3779B97F4A7C15) & ((1 << 63) - 1)  # the layer's first noise
    g_codes, largest = dorefa_gradient_codes(above, g_bits, torch.Generator().manual_seed(mixed))
    dx, dw = torch.autograd.grad(y, (x, layer.weight), above)
    unit = (largest / ((1 << g_bits) - 1)).double()  # of each sample
    shape = (-1, *[1] * (x.dim() - 1))
    sums = products.backward_input(last(g_codes), weights, last(activations).shape[1:3])
    # x lies within the clip, so its gradient is the sum's; the weights' passes tanh beyond 1 bit
    assert torch.equal((dx.double() / (unit.view(shape) * w_scale)).round(), first(sums).double())
    each = torch.from_numpy(products.backward_weight(last(activations), last(g_codes), weights.shape[1:3]).copy())
    total = (each * unit.view(-1, 1, 1, 1, 1)).sum(0).permute(0, 3, 1, 2).reshape(dw.shape) * a_scale
    scaled = products.backward_weight_total(last(activations), last(g_codes), unit.float().numpy(), weights.shape[1:3])
    in_order = sum(scale * sums for scale, sums in zip(unit.float().double(), each, strict=True))
    assert torch.equal(torch.from_numpy(scaled.copy()), in_order.float())
    if w_bits in (1, 8):  # each of one sample alone, whose gradient has one unit: the integers themselves
        for sample, sums in enumerate(each):
            alone = torch.autograd.grad(
                layer.weight_quantizer(layer.weight), layer.weight, torch.ones_like(layer.weight)
            )[0]
            layer.gradient_quantizer.set_state((5, 0))
            given = torch.zeros_like(above)
            given[sample] = above[sample]
            codes, _ = dorefa_gradient_codes(given, g_bits, torch.Generator().manual_seed(mixed))
            assert torch.equal(codes[sample], g_codes[sample])
            (of_one,) = torch.autograd.grad(layer(x), layer.weight, given)
            found = (of_one.double() / (alone.double() * unit[sample] * a_scale)).round()
            wanted = sums.permute(0, 3, 1, 2).reshape(dw.shape).double()
            assert torch.equal(found[alone > 0.1], wanted[alone > 0.1])  # where tanh is steep enough to divide by
            assert (alone > 0.1).double().mean() > 0.9
    inside = torch.autograd.grad(layer.weight_quantizer(layer.weight), layer.weight, total.float())[0]
    assert torch.allclose(dw, inside, rtol=1e-3, atol=1e-5 * float(dw.abs().max()))
