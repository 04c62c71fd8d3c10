# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch

from bitlens.nn import QuantLSTM
from bitlens.nn.recurrent_matrix import Matrix
from bitlens.quant import DoReFaWeight, UnitActivation


def equations(
    x: np.ndarray, h: np.ndarray, c: np.ndarray, w: np.ndarray, b: np.ndarray, n: int | None
) -> list[np.ndarray]:
    """The paper's cell in float64, real values; h of every step, then c."""

    def sigmoid(v: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-v))

    outputs = []
    for t in range(x.shape[1]):
        i, j, f, o = np.split(np.concatenate([x[:, t], h], 1) @ w.T + b, 4, 1)
        c = c * sigmoid(f) + sigmoid(i) * sigmoid(j)
        h = sigmoid(c) * sigmoid(o)
        if n is not None:
            h = np.floor(n * h + 0.5) / n
        outputs.append(h)
    return [*outputs, c]


@pytest.mark.parametrize(("weights", "states"), [(None, None), (2, None), (None, 2), (1, 1), (2, 2), (2, 3), (8, 8)])
def test_it_is_the_papers_cell(weights: int | None, states: int | None) -> None:
    torch.manual_seed(1)
    quantizer = None if weights is None else DoReFaWeight(weights)
    state = None if states is None else UnitActivation(states)
    layer = QuantLSTM(6, 9, state_quantizer=state, weight_quantizer=quantizer).eval()
    torch.nn.init.normal_(layer.gates.bias)
    x = torch.rand(3, 8, 6) if state is None else state(torch.rand(3, 8, 6))
    w = layer.gates.weight if quantizer is None else quantizer(layer.gates.weight)
    arrays = [t.detach().double().numpy() for t in (x, *layer.initial_state(3), w, layer.gates.bias)]
    *expected, c = equations(*arrays, None if states is None else (1 << states) - 1)
    y, end = layer(x)
    assert np.allclose(y.detach().numpy(), np.stack(expected, 1), atol=1e-6)
    assert np.allclose(end[1].detach().numpy(), c, atol=1e-5)


def test_the_bias_of_f_starts_at_one() -> None:
    bias = QuantLSTM(3, 2).gates.bias
    assert bias.tolist() == [0, 0, 0, 0, 1, 1, 0, 0]


def test_sums_beyond_float32_are_exact_in_evaluation() -> None:
    layer = QuantLSTM(200, 100, state_quantizer=UnitActivation(8), weight_quantizer=DoReFaWeight(8)).eval()
    with torch.no_grad():
        layer.gates.weight.fill_(3.0)
    matrix = Matrix.of(layer.gates)
    assert matrix.weight.dtype == torch.float64
    x = torch.full((1, 1, 200), 1.0)
    total = matrix.inputs(layer.state_quantizer.codes(x)[0].double())
    assert total[0, 0, 0] == 200 * 255 * 255
    y, _ = layer(x)
    assert torch.equal(y[:, 0], layer.step(x[:, 0], layer.initial_state(1))[0])
