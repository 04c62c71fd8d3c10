# SPDX-License-Identifier: Apache-2.0
import re

import pytest
import torch
from torch import nn

from bitlens.models import LanguageModel
from bitlens.nn import HasStep, QuantGRU, QuantLSTM, RecurrentStep, freeze
from bitlens.quant import BalancedWeight, QuantError, Spec, UnitActivation

WORDS = 7


def layer(lstm: bool) -> QuantLSTM | QuantGRU:
    state, weight = UnitActivation(2), BalancedWeight(2)
    if lstm:
        return QuantLSTM(3, 4, state_quantizer=state, weight_quantizer=weight)
    return QuantGRU(3, 4, state_quantizer=state, weight_quantizer=weight, candidate_weight_quantizer=BalancedWeight(2))


def language(cell: str) -> LanguageModel:
    return LanguageModel(Spec.parse("w2a2,weight=mean"), cell, WORDS, 4)


@pytest.mark.parametrize("lstm", [True, False])
def test_steps_of_a_layer_are_its_sequence(lstm: bool) -> None:
    net = freeze(layer(lstm).to_fixed())
    step, x = RecurrentStep(net), UnitActivation(2)(torch.rand(2, 5, 3))
    assert step.state_names == (("h", "c") if lstm else ("h",))
    wanted, end = net(x)
    state = step.example(x[:, 0])[1:]
    for t in range(5):
        h, *state = step(x[:, t], *state)
        assert torch.equal(h, wanted[:, t])
        assert torch.equal(h, state[0])
    assert all(torch.equal(a, b) for a, b in zip(state, end, strict=True))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_steps_of_a_language_model_are_its_text(cell: str) -> None:
    net, tokens = freeze(language(cell).to_fixed()), torch.randint(0, WORDS, (2, 5))
    step = RecurrentStep(net)
    wanted, _ = net(tokens)
    state = step.example(tokens[:, 0])[1:]
    for t in range(5):
        scores, *state = step(tokens[:, t], *state)
        assert torch.equal(scores, wanted[:, t])


def test_the_example_is_an_input_beside_the_initial_state() -> None:
    net = freeze(layer(True).to_fixed())
    x, h, c = RecurrentStep(net).example(torch.zeros(2, 3))
    assert (x.shape, h.shape, c.shape) == ((2, 3), (2, 4), (2, 4))
    assert all(torch.equal(a, b) for a, b in zip((h, c), net.initial_state(2), strict=True))


def test_a_state_off_the_grid_is_quantized() -> None:
    step = RecurrentStep(freeze(layer(False).to_fixed()))
    x = torch.zeros(1, 3)
    assert torch.equal(step(x, torch.full((1, 4), 0.3))[0], step(x, torch.full((1, 4), 1 / 3))[0])


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_the_nets(training: bool) -> None:
    net = language("lstm").to_fixed().train(training)
    step = RecurrentStep(net)
    assert {module.training for module in step.modules()} == {training}
    assert net.training == training


def test_what_has_a_step() -> None:
    assert isinstance(layer(True), HasStep)
    assert isinstance(language("gru"), HasStep)
    assert not isinstance(nn.Linear(2, 2), HasStep)


class _Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = layer(True).to_fixed(), layer(False).to_fixed()

    def initial_state(self, batch: int) -> tuple[torch.Tensor, ...]:
        return self.first.initial_state(batch)

    def step(self, x: torch.Tensor, state: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        return self.first.step(x, state)


@pytest.mark.parametrize(
    ("net", "sentence"),
    [
        (nn.Linear(2, 2), "net: must have a step and one recurrent layer, not 0 of them"),
        (nn.Sequential(layer(True).to_fixed()), "net: must have a step, which Sequential has not"),
        (_Two(), "net: must have a step and one recurrent layer, not 2 of them"),
        (layer(True), "net: must be in the fixed form to be exported, not the paper's; call .to_fixed()"),
        (language("gru"), "cell: must be in the fixed form to be exported, not the paper's; call .to_fixed()"),
    ],
    ids=["no layer", "no step", "two layers", "a paper's layer", "a paper's model"],
)
def test_refusals(net: nn.Module, sentence: str) -> None:
    with pytest.raises(QuantError, match=rf"\A{re.escape(sentence)}\Z"):
        RecurrentStep(net)
