# SPDX-License-Identifier: Apache-2.0
"""What holds for every recurrent layer and form: a sequence equals its steps, states stay on their grids."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bitlens.nn import QuantGRU, QuantLSTM, freeze
from bitlens.nn.recurrent import QuantRecurrent, State
from bitlens.quant import BalancedWeight, UnitActivation

KINDS = ["lstm", "gru", "fixed lstm", "fixed gru"]


def make(
    kind: str, weight_bits: int | None, state_bits: int | None, inputs: int = 5, hidden: int = 7
) -> QuantRecurrent:
    def weight() -> BalancedWeight | None:
        return None if weight_bits is None else BalancedWeight(weight_bits)

    state = None if state_bits is None else UnitActivation(state_bits)
    layer: QuantRecurrent
    if kind.endswith("lstm"):
        layer = QuantLSTM(inputs, hidden, state_quantizer=state, weight_quantizer=weight())
    else:
        options = {"weight_quantizer": weight(), "candidate_weight_quantizer": weight()}
        layer = QuantGRU(inputs, hidden, state_quantizer=state, **options)
    return layer.to_fixed() if kind.startswith("fixed") and weight_bits and state_bits else layer


def inputs(layer: QuantRecurrent, batch: int, steps: int) -> Tensor:
    x = torch.rand(batch, steps, layer.input_size)
    return x if layer.state_quantizer is None else layer.state_quantizer(x)


def by_steps(layer: QuantRecurrent, x: Tensor, state: State) -> tuple[Tensor, State]:
    outputs = []
    for t in range(x.shape[1]):
        y, state = layer.step(x[:, t], state)
        outputs.append(y)
    return torch.stack(outputs, 1), state


kinds = st.sampled_from(KINDS)
bits = st.one_of(st.none(), st.integers(1, 8))


@given(kinds, bits, bits, st.integers(1, 3), st.integers(1, 6), st.booleans(), st.integers(0, 1 << 30))
@settings(deadline=None, max_examples=40)
def test_a_sequence_is_its_steps(
    kind: str, weights: int | None, states: int | None, batch: int, steps: int, training: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    layer = make(kind, weights, states).train(training)
    x = inputs(layer, batch, steps)
    with torch.no_grad():
        fast, end = layer(x)
        slow, expected = by_steps(layer, x, layer.initial_state(batch))
    exact = torch.equal if states is not None and weights is not None else torch.allclose
    assert exact(fast, slow)
    assert all(exact(a, b) for a, b in zip(end, expected, strict=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("weights", "states"), [(None, None), (2, None), (None, 2), (1, 1), (2, 3), (8, 8)])
def test_gradients_are_those_of_the_steps(kind: str, weights: int | None, states: int | None) -> None:
    torch.manual_seed(0)
    layer = make(kind, weights, states)
    x = inputs(layer, 3, 6).requires_grad_()
    state = tuple(s.clone().requires_grad_() for s in layer.initial_state(3))
    wanted = [x, *state, *layer.parameters()]
    grads = []
    for run in (layer.__call__, lambda *given: by_steps(layer, *given)):
        y, end = run(x, state)
        loss = (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum() + sum((s**2).sum() for s in end)
        grads.append(torch.autograd.grad(loss, wanted))
    for fast, slow in zip(*grads, strict=True):
        assert torch.isfinite(fast).all()
        assert torch.allclose(fast, slow, rtol=1e-4, atol=1e-5 * float(slow.abs().max()))


@given(kinds, st.integers(1, 8), st.integers(1, 8), st.integers(0, 1 << 30))
@settings(deadline=None, max_examples=30)
def test_outputs_are_on_the_grid(kind: str, weights: int, states: int, seed: int) -> None:
    torch.manual_seed(seed)
    layer = make(kind, weights, states).eval()
    with torch.no_grad():
        y, end = layer(inputs(layer, 2, 9))
    codes = y / layer.state_quantizer.scale
    assert layer.state_quantizer.grid.contains(codes.round().numpy())
    assert torch.equal(codes.round() * layer.state_quantizer.scale, y)
    assert torch.equal(end[0], y[:, -1])


@pytest.mark.parametrize("kind", KINDS)
def test_a_carried_state_continues_the_sequence(kind: str) -> None:
    layer = make(kind, 2, 2).eval()
    x = inputs(layer, 2, 10)
    with torch.no_grad():
        whole, end = layer(x)
        first, state = layer(x[:, :4])
        second, last = layer(x[:, 4:], state)
    assert torch.equal(whole, torch.cat([first, second], 1))
    assert all(torch.equal(a, b) for a, b in zip(end, last, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_no_step_changes_nothing(kind: str) -> None:
    layer = make(kind, 2, 2)
    state = layer.initial_state(3)
    y, end = layer(torch.zeros(3, 0, 5), state)
    assert y.shape == (3, 0, 7)
    assert end is state


@pytest.mark.parametrize("kind", KINDS)
def test_it_starts_at_half_rounded_up(kind: str) -> None:
    h, *cell = make(kind, 2, 2).initial_state(2)
    assert torch.equal(h, torch.full((2, 7), 2.0) * torch.tensor(1 / 3))
    for c in cell:
        assert torch.equal(c, torch.full((2, 7), 171 / 256) if kind == "fixed lstm" else h)
    for s in make(kind, None, None).initial_state(2):
        assert torch.equal(s, torch.full((2, 7), 0.5))


@pytest.mark.parametrize("kind", KINDS)
def test_freezing_changes_nothing(kind: str) -> None:
    layer = make(kind, 2, 2).eval()
    x = inputs(layer, 2, 5)
    before, _ = layer(x)
    after, _ = freeze(layer)(x)
    assert torch.equal(before, after)


@pytest.mark.parametrize("kind", KINDS)
def test_a_float_checkpoint_loads(kind: str) -> None:
    layer = make(kind, 2, 2)
    layer.load_state_dict(make(kind, None, None).state_dict())


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_quantized_once_a_sequence(kind: str) -> None:
    layer = make(kind, 2, 2)
    calls = []
    for module in layer.modules():
        if isinstance(module, BalancedWeight):
            codes = module.codes
            module.codes = lambda w, codes=codes: calls.append(w.shape) or codes(w)
    layer(inputs(layer, 2, 9))
    assert len(calls) == (1 if kind.endswith("lstm") else 2)


def test_bad_shapes_are_told() -> None:
    layer = make("lstm", 2, 2)
    with pytest.raises(ValueError, match=r"^QuantLSTM: input must be \(N, T, 5\), not \(2, 3, 4\)$"):
        layer(torch.zeros(2, 3, 4))
    with pytest.raises(ValueError, match=r"^QuantLSTM: state must be 2 of \(2, 7\), not \(2, 7\), \(3, 7\)$"):
        layer(torch.zeros(2, 3, 5), (torch.zeros(2, 7), torch.zeros(3, 7)))


@pytest.mark.parametrize("kind", KINDS)
def test_an_input_without_gradient_changes_no_other(kind: str) -> None:
    torch.manual_seed(0)
    layer = make(kind, 2, 3)
    x = inputs(layer, 3, 6)
    grads = []
    for sequence in (x, x.clone().requires_grad_()):
        y, _ = layer(sequence)
        grads.append(torch.autograd.grad((y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum(), layer.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))
