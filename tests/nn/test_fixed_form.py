# SPDX-License-Identifier: Apache-2.0
"""The fixed form beside a slow integer model: int64 throughout, sigmoids by the reference arithmetic."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from bitlens.core.reference import Add, Multiply, Quantize, Sigmoid, evaluate
from bitlens.nn import QuantGRU, QuantLinear, QuantLSTM, freeze
from bitlens.quant import BalancedWeight, FixedPoint, QuantError, UnitActivation

Ints = np.ndarray


def half_up(x: Ints, shift: int) -> Ints:
    """x / 2^shift, rounded half up."""
    return (x + (1 << shift - 1)) >> shift if shift else x


def integers(linear: QuantLinear) -> tuple[Ints, np.float32, np.ndarray]:
    """Weights (O, I + H), the real value of a sum's unit, float biases."""
    weight, scale = linear.weight_quantizer.codes(linear.weight.detach())
    return weight.long().numpy(), (scale * linear.input_quantizer.scale).numpy(), linear.bias.detach().numpy()


def sigmoids(total: Ints, scale: np.float32, bias: np.ndarray, unit: float, top: int) -> Ints:
    quantize = Quantize(np.float32(unit), 0.0, 0, top, "HALF_UP")
    return evaluate((Multiply(scale), Add(bias), Sigmoid(), quantize), total)


def lstm_step(layer: QuantLSTM, x: Ints, h: Ints, c: Ints) -> tuple[Ints, Ints]:
    """One step from integers to integers."""
    g, f = layer.gate_quantizer.bits, layer.cell_quantizer.fraction
    n, top = layer.state_quantizer.grid.hi, (1 << g) - 1
    weight, scale, bias = integers(layer.gates)
    gates = sigmoids(np.concatenate([x, h], 1) @ weight.T, scale, bias, 2.0**-g, top)
    i, j, forget, o = np.split(gates, 4, 1)
    finest = max(g, f)
    total = (forget * c << finest - f) + (i * j << finest - g)  # in units of 2^-(g + finest)
    c = np.minimum(half_up(total, g + finest - f), layer.cell_quantizer.grid.hi)
    table = sigmoids(
        np.arange(layer.cell_quantizer.grid.levels)[:, None], np.float32(2.0**-f), np.float32(0), 2.0**-g, top
    )
    h = half_up(n * table[c, 0] * o, 2 * g)
    return h, c


def gru_step(layer: QuantGRU, x: Ints, h: Ints) -> tuple[Ints]:
    """One step from integers to integers."""
    g, n = layer.gate_quantizer.bits, layer.state_quantizer.grid.hi
    weight, scale, bias = integers(layer.gates)
    r, u = np.split(sigmoids(np.concatenate([x, h], 1) @ weight.T, scale, bias, 2.0**-g, (1 << g) - 1), 2, 1)
    weight, scale, bias = integers(layer.candidate)
    c = sigmoids(np.concatenate([x, half_up(r * h, g)], 1) @ weight.T, scale, bias, 1 / n, n)
    return (half_up(u * h + ((1 << g) - u) * c, g),)


def codes(x: torch.Tensor, quantizer: UnitActivation | FixedPoint) -> Ints:
    return quantizer.codes(x.detach())[0].long().numpy()


@given(
    st.booleans(),
    st.integers(1, 8),
    st.integers(1, 8),
    st.integers(1, 8),
    st.tuples(st.integers(1, 12), st.integers(0, 8)),
    st.floats(0.1, 20),
    st.integers(0, 1 << 30),
)
@settings(deadline=None, max_examples=60)
def test_evaluation_is_integer_arithmetic(
    lstm: bool, weights: int, states: int, gates: int, cell: tuple[int, int], spread: float, seed: int
) -> None:
    torch.manual_seed(seed)
    state = UnitActivation(states)
    if lstm:
        paper = QuantLSTM(5, 6, state_quantizer=state, weight_quantizer=BalancedWeight(weights))
        try:
            layer = paper.to_fixed(gates, cell).eval()
        except QuantError:
            reject()  # products beyond float32
    else:
        options = {"weight_quantizer": BalancedWeight(weights), "candidate_weight_quantizer": BalancedWeight(weights)}
        layer = QuantGRU(5, 6, state_quantizer=state, **options).to_fixed(gates).eval()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(spread)
        x = state(torch.rand(2, 7, 5))
        y, end = layer(x)
        now = layer.initial_state(2)
    quantizers = (layer.state_quantizer, layer.cell_quantizer)[: len(now)] if lstm else (layer.state_quantizer,)
    expected = tuple(codes(s, q) for s, q in zip(now, quantizers, strict=True))
    for t in range(7):
        expected = (lstm_step if lstm else gru_step)(layer, codes(x[:, t], state), *expected)
        assert np.array_equal(codes(y[:, t], state), expected[0])
    assert all(np.array_equal(codes(s, q), e) for s, q, e in zip(end, quantizers, expected, strict=True))


def test_the_cell_saturates_and_comes_back() -> None:
    state = UnitActivation(2)
    paper = QuantLSTM(2, 3, state_quantizer=state, weight_quantizer=BalancedWeight(2))
    layer = paper.to_fixed(8, (4, 2))
    torch.nn.init.constant_(layer.gates.bias, 20.0)
    x = torch.zeros(1, 30, 2, requires_grad=True)
    y, (_, c) = layer(x)
    assert torch.equal(c, torch.full((1, 3), 15 / 4))
    y.sum().backward()
    assert torch.isfinite(x.grad).all()


def test_training_differs_from_evaluation_at_ties_only() -> None:
    torch.manual_seed(0)
    layer = QuantLSTM(20, 30, state_quantizer=UnitActivation(2), weight_quantizer=BalancedWeight(2)).to_fixed()
    x = layer.state_quantizer(torch.rand(4, 10, 20))
    training, evaluation = layer(x)[0], layer.eval()(x)[0]
    assert (training != evaluation).float().mean() < 0.01


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: QuantLSTM(2, 2).to_fixed(),
            "QuantLSTM: weights and states must be quantized in the fixed form, not float",
        ),
        (
            lambda: QuantGRU(2, 2, state_quantizer=UnitActivation(2)).to_fixed(),
            "QuantGRU: weights and states must be quantized in the fixed form, not float",
        ),
        (
            lambda: QuantLSTM(2, 2, gate_quantizer=FixedPoint(8, 8)),
            "QuantLSTM: gate_quantizer and cell_quantizer must be given together, not one",
        ),
        (
            lambda: QuantGRU(
                2,
                2,
                state_quantizer=UnitActivation(2),
                weight_quantizer=BalancedWeight(2),
                candidate_weight_quantizer=BalancedWeight(2),
                gate_quantizer=FixedPoint(8, 7),
            ),
            "QuantGRU: gate_quantizer must have 8 fraction bits like its bits, not 7",
        ),
        (
            lambda: QuantLSTM(2, 2, state_quantizer=UnitActivation(2), weight_quantizer=BalancedWeight(2)).to_fixed(10),
            "QuantLSTM: f c + i j must stay below 2^24 in its finest unit, not 17805317",
        ),
        (
            lambda: QuantLSTM(2, 2, state_quantizer=UnitActivation(9), weight_quantizer=BalancedWeight(2)).to_fixed(),
            "QuantLSTM: sigmoid(c) o must stay below 2^24 in its finest unit, not 33260543",
        ),
        (
            lambda: QuantGRU(
                2,
                2,
                state_quantizer=UnitActivation(16),
                weight_quantizer=BalancedWeight(2),
                candidate_weight_quantizer=BalancedWeight(2),
            ).to_fixed(9),
            "QuantGRU: u h + (1 - u) c must stay below 2^24 in its finest unit, not 33554176",
        ),
    ],
)
def test_bad_forms_are_told(make: object, sentence: str) -> None:
    with pytest.raises(QuantError, match=f"^{re.escape(sentence)}$"):
        make()


@pytest.mark.parametrize("training", [True, False])
def test_the_fixed_form_keeps_the_mode(training: bool) -> None:
    weight = {"state_quantizer": UnitActivation(2), "weight_quantizer": BalancedWeight(2)}
    for layer in (QuantLSTM(2, 2, **weight), QuantGRU(2, 2, **weight, candidate_weight_quantizer=BalancedWeight(2))):
        fixed = (layer if training else freeze(layer)).to_fixed()
        assert {module.training for module in fixed.modules()} == {training}
