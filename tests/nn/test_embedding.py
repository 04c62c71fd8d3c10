# SPDX-License-Identifier: Apache-2.0
import torch
from torch import nn

from bitlens.nn import QuantEmbedding
from bitlens.quant import DoReFaActivation


def test_rows_are_clipped_and_quantized() -> None:
    layer = QuantEmbedding(4, 2, output_quantizer=DoReFaActivation(2))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[-1.0, 0.0], [0.2, 0.5], [0.9, 1.0], [1.5, 0.17]]))
    tokens = torch.tensor([[3, 1], [0, 2]])
    third = layer.output_quantizer.scale
    assert torch.equal(layer(tokens), torch.tensor([[[3, 1], [1, 2]], [[0, 0], [3, 3]]]) * third)
    layer(tokens).sum().backward()
    assert layer.weight.grad.tolist() == [[0, 0], [1, 1], [1, 0], [0, 1]]  # none outside (0, 1)


def test_table_starts_in_the_unit_interval() -> None:
    weight = QuantEmbedding(1000, 8).weight
    assert weight.min() >= 0
    assert weight.max() < 1
    assert abs(weight.mean() - 0.5) < 0.02


def test_without_a_quantizer_it_is_the_frameworks_layer() -> None:
    layer, plain = QuantEmbedding(5, 3), nn.Embedding(5, 3)
    layer.load_state_dict(plain.state_dict())
    tokens = torch.tensor([0, 4, 4])
    assert torch.equal(layer(tokens), plain(tokens))
