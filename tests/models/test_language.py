# SPDX-License-Identifier: Apache-2.0
import re

import pytest
import torch
import torch.nn.functional as F

from bitlens.models import LanguageModel
from bitlens.models.language import check_language
from bitlens.nn import QuantLinear
from bitlens.quant import LSQWeight, QuantError, Spec


def make(spec: str = "w2a2,weight=mean", cell: str = "lstm", **options: object) -> LanguageModel:
    return LanguageModel(Spec.parse(spec), cell, vocabulary=11, hidden=6, **options)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_parts_of_a_text_are_the_text(cell: str) -> None:
    torch.manual_seed(0)
    net, tokens = make(cell=cell).eval(), torch.randint(0, 11, (2, 9))
    whole, end = net(tokens)
    state, parts = net.initial_state(2), []
    for part in tokens.split([4, 1, 4], 1):
        logits, state = net(part, state)
        parts.append(logits)
    assert whole.shape == (2, 9, 11)
    assert torch.equal(whole, torch.cat(parts, 1))
    assert all(torch.equal(a, b) for a, b in zip(end, state, strict=True))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_step_is_a_sequence_of_one_word(cell: str) -> None:
    net = make(cell=cell).eval()
    tokens = torch.tensor([3, 7])
    logits, state = net.step(tokens, net.initial_state(2))
    expected, end = net(tokens[:, None])
    assert torch.equal(logits, expected[:, 0])
    assert all(torch.equal(a, b) for a, b in zip(state, end, strict=True))


@pytest.mark.parametrize("spec", ["w32", "w1a1", "w2a2,weight=mean", "w2a32", "w4a4", "w8a8"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_training_lowers_the_loss(spec: str, cell: str) -> None:
    torch.manual_seed(0)
    net, tokens = make(spec, cell), torch.randint(0, 11, (4, 12))
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    losses = []
    for _ in range(20):
        logits, _ = net(tokens[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        assert all(torch.isfinite(p.grad).all() for p in net.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < sum(losses[:5])


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_fixed_form_shares_its_weights(cell: str) -> None:
    net = make("w2a2,weight=mean", cell).eval()
    fixed = net.to_fixed()
    assert [id(p) for p in net.parameters()] == [id(p) for p in fixed.parameters()]
    assert fixed.state_dict().keys() == net.state_dict().keys()
    assert net.cell.gate_quantizer is None
    made = make("w2a2,weight=mean", cell, form="fixed").eval()
    made.load_state_dict(net.state_dict())
    tokens = torch.randint(0, 11, (2, 9))
    assert torch.equal(made(tokens)[0], fixed(tokens)[0])


def test_arguments_of_the_fixed_form_are_handed_on() -> None:
    cell = make().to_fixed(gates=6, cell=(10, 6)).cell
    assert (cell.gate_quantizer.bits, cell.cell_quantizer.bits, cell.cell_quantizer.fraction) == (6, 10, 6)


@pytest.mark.parametrize("spec", ["w32", "w2a2,weight=mean", "w2a32", "w32a2"])
def test_the_lean_product_changes_nothing(spec: str) -> None:
    net, h = make(spec), torch.randint(0, 4, (5, 6)) / 3
    assert torch.allclose(net._logits(h), net.output(h), atol=1e-6)


def test_evaluation_has_no_chance() -> None:
    net, tokens = make(), torch.randint(0, 11, (2, 5))
    assert not torch.equal(net(tokens)[0], net(tokens)[0])
    net.eval()
    assert torch.equal(net(tokens)[0], net(tokens)[0])


def test_a_float_checkpoint_loads() -> None:
    make("w2a2").load_state_dict(make("w32").state_dict())


@pytest.mark.parametrize(
    ("spec", "options", "sentence"),
    [
        ("w2a2", {"cell": "rnn"}, "LanguageModel: cell must be lstm or gru, not rnn"),
        ("w2a2", {"form": "float"}, "LanguageModel: form must be paper or fixed, not float"),
    ],
)
def test_bad_arguments_are_told(spec: str, options: dict[str, str], sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        make(spec, **options)


@pytest.mark.parametrize(
    ("spec", "rule"),
    [
        ("w2a2g6", "gradient bits must be 32 (float), not 6"),
        ("w2a2,activation=pact", "activation must be clip or cabs, not pact"),
        ("w2a2,activation=lsq", "activation must be clip or cabs, not lsq"),
    ],
)
def test_what_no_language_model_can_be_is_told(spec: str, rule: str) -> None:
    with pytest.raises(QuantError, match=f"^LanguageModel: {re.escape(rule)}$"):
        make(spec)
    with pytest.raises(QuantError, match=f"^lstm_ptb: {re.escape(rule)}$"):
        check_language("lstm_ptb", Spec.parse(spec))


@pytest.mark.parametrize("spec", ["w1a2", "w4a4", "w32a32"])
def test_nets_of_all_bits_drop_as_much(spec: str) -> None:
    assert LanguageModel(Spec.parse(spec), vocabulary=5, hidden=4).dropout.p == 0.15
    assert LanguageModel(Spec.parse(spec), vocabulary=5, hidden=4, dropout=0.0).dropout.p == 0


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_learned_steps_start_from_the_weights_that_are_there(cell: str) -> None:
    net = LanguageModel(Spec.parse("w2a2,weight=lsq"), cell, 20, 30)
    layers = [layer for layer in net.modules() if isinstance(layer, QuantLinear)]
    assert len(layers) == {"lstm": 2, "gru": 3}[cell]
    for layer in layers:
        fresh = LSQWeight(2)
        fresh.begin(layer.weight.detach())
        assert torch.equal(layer.weight_quantizer.reach, fresh.reach)
