# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch

from bitlens.nn import QuantGRU
from bitlens.quant import DoReFaWeight, UnitActivation


def equations(
    x: np.ndarray, h: np.ndarray, w: np.ndarray, b: np.ndarray, v: np.ndarray, d: np.ndarray, n: int | None
) -> np.ndarray:
    """The paper's cell in float64, real values; h of every step (N, T, H)."""

    def sigmoid(a: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-a))

    def q(a: np.ndarray) -> np.ndarray:
        return a if n is None else np.floor(n * a + 0.5) / n

    outputs = []
    for t in range(x.shape[1]):
        r, u = np.split(sigmoid(np.concatenate([x[:, t], h], 1) @ w.T + b), 2, 1)
        c = q(sigmoid(np.concatenate([x[:, t], q(r * h)], 1) @ v.T + d))
        h = q(u * h + (1 - u) * c)
        outputs.append(h)
    return np.stack(outputs, 1)


@pytest.mark.parametrize(("weights", "states"), [(None, None), (2, None), (None, 2), (1, 1), (2, 2), (2, 3), (8, 8)])
def test_it_is_the_papers_cell(weights: int | None, states: int | None) -> None:
    torch.manual_seed(1)
    quantizers = [None if weights is None else DoReFaWeight(weights) for _ in range(2)]
    state = None if states is None else UnitActivation(states)
    layer = QuantGRU(
        6, 9, state_quantizer=state, weight_quantizer=quantizers[0], candidate_weight_quantizer=quantizers[1]
    ).eval()
    for linear in (layer.gates, layer.candidate):
        torch.nn.init.normal_(linear.bias)  # round numbers make ties, which float64 breaks otherwise
    x = torch.rand(3, 8, 6) if state is None else state(torch.rand(3, 8, 6))
    tensors = [x, *layer.initial_state(3)]
    for linear, quantizer in zip((layer.gates, layer.candidate), quantizers, strict=True):
        tensors += [linear.weight if quantizer is None else quantizer(linear.weight), linear.bias]
    arrays = [t.detach().double().numpy() for t in tensors]
    y, _ = layer(x)
    assert np.allclose(y.detach().numpy(), equations(*arrays, None if states is None else (1 << states) - 1), atol=1e-6)


def test_the_biases_of_gates_start_at_one() -> None:
    layer = QuantGRU(3, 2)
    assert layer.gates.bias.tolist() == [1] * 4
    assert layer.candidate.bias.tolist() == [0] * 2
