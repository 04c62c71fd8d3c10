# SPDX-License-Identifier: Apache-2.0
import torch
from torch import nn

from bitlens.nn import QuantLinear
from bitlens.quant import DoReFaActivation, DoReFaWeight


def test_without_quantizers_it_is_the_frameworks_layer() -> None:
    layer, plain = QuantLinear(6, 4), nn.Linear(6, 4)
    layer.load_state_dict(plain.state_dict())
    x = torch.randn(3, 6)
    assert torch.equal(layer(x), plain(x))


def test_it_multiplies_integers() -> None:
    layer = QuantLinear(6, 4, bias=False, weight_quantizer=DoReFaWeight(1), input_quantizer=DoReFaActivation(2))
    x = torch.rand(3, 6)
    a, w = layer.input_quantizer.codes(x)[0], layer.weight_quantizer.codes(layer.weight)[0]
    scale = layer.weight.abs().mean() * layer.input_quantizer.scale
    assert torch.equal(layer(x), (a @ w.T) * scale)
