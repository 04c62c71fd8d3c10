# SPDX-License-Identifier: Apache-2.0
import copy
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bitlens.data.ptb import Corpus
from bitlens.models import DoReFaSVHN, LanguageModel
from bitlens.nn import QuantLinear
from bitlens.quant import Spec
from bitlens.train import LanguageModelling, Recipe
from bitlens.train.centred import CentredSteps
from bitlens.train.loop import Trainer
from bitlens.train.schedule import plan_stages
from bitlens.train.task import Task

WORDS = 7
TEXT = np.random.default_rng(0).integers(WORDS, size=400)
READING = LanguageModelling(lambda path: Corpus(TEXT, TEXT, TEXT, tuple("abcdefg")), 5)


def steps(layer: nn.Module, optimizer: torch.optim.Optimizer, centred: CentredSteps | None) -> None:
    torch.manual_seed(1)
    for _ in range(5):
        x, y = torch.rand(16, 6), torch.randn(16, 4)
        optimizer.zero_grad()
        (layer(x) - y).square().mean().backward()
        optimizer.step() if centred is None else centred.step(optimizer)


class Relative(nn.Module):
    """The model: y = W (x - m) + b', learned as it is written."""

    def __init__(self, layer: QuantLinear, mean: float) -> None:
        super().__init__()
        self.layer, self.mean = copy.deepcopy(layer), mean
        self.bias, self.layer.bias = nn.Parameter(layer.bias + mean * self.sums().detach()), None

    def sums(self) -> torch.Tensor:
        weight, scale = self.layer._weight_codes()
        return weight.sum(1) * (1 if scale is None else scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.layer(x)
        return y - self.mean * self.sums() + self.bias


@pytest.mark.parametrize("bits", ["w32a32", "w2a2", "w2a2,weight=mean", "w4a4,weight=lsq"])
@pytest.mark.parametrize("mean", [0.5, 0.25])
def test_steps_are_those_of_inputs_relative_to_their_mean(bits: str, mean: float) -> None:
    torch.manual_seed(0)
    layer = QuantLinear(6, 4, weight_quantizer=Spec.parse(bits).weight_quantizer())
    relative, layer.input_middle = Relative(layer, mean), mean
    usual = copy.deepcopy(layer)
    for net, centred in ((layer, CentredSteps(layer)), (relative, None), (usual, None)):
        steps(net, torch.optim.Adam(net.parameters(), 0.05), centred)
    torch.testing.assert_close(layer.weight, relative.layer.weight)
    torch.testing.assert_close(layer.bias, relative.bias - mean * relative.sums())
    assert not torch.allclose(layer.weight, usual.weight, atol=0.01)


def test_what_does_not_learn_is_left_alone() -> None:
    layer = QuantLinear(6, 4)
    layer.input_middle = 0.5
    both = nn.ModuleList([layer, copy.copy(layer)])  # two forms that share their parameters
    assert len(CentredSteps(both).layers) == 1
    for frozen in ("weight", "bias", ""):
        layer.requires_grad_(True)
        if frozen:
            getattr(layer, frozen).requires_grad_(False)
            layer.zero_grad()
            layer(torch.rand(2, 6)).sum().backward()
        else:
            layer.zero_grad()  # not reached by a backward pass
        before = [None if p.grad is None else p.grad.clone() for p in layer.parameters()]
        centred = CentredSteps(layer)
        centred.step(torch.optim.SGD(layer.parameters(), 0.0))
        assert centred.sums == {}
        for gradient, kept in zip([p.grad for p in layer.parameters()], before, strict=True):
            assert (gradient is None) == (kept is None)
            assert gradient is None or kept is None or torch.equal(gradient, kept)


def by_hand(recipe: Recipe, task: Task, centred: bool) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    net = recipe.fresh(Spec.parse(recipe.bits)).train()
    optimizer, around = recipe.optimizer_of(net), CentredSteps(net if centred else nn.Identity())
    task.restore({"state": None})
    for step in range(3):
        optimizer.param_groups[0]["lr"] = recipe.rate_at(step / task.steps)
        optimizer.zero_grad()
        loss, _ = task.loss(net, *task.batch(0, step))
        loss.backward()  # type: ignore[no-untyped-call]
        around._begin()
        nn.utils.clip_grad_norm_(net.parameters(), recipe.clip_norm)
        optimizer.step()
        around._finish()
    return net.state_dict()


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_run_takes_centred_steps_and_clips_them(cell: str, tmp_path: Path) -> None:
    net_of = partial(LanguageModel, cell=cell, vocabulary=WORDS, hidden=16)
    recipe = Recipe("small", READING, net_of, "w4a4,weight=mean", 1, 4, 3e-2, warmup=0.1, clip_norm=1e-3)
    task = recipe.task.open(None, None, recipe.batch, 0, torch.device("cpu"))
    centred, usual = by_hand(recipe, task, True), by_hand(recipe, task, False)
    torch.manual_seed(0)
    trainer = Trainer(recipe, plan_stages(Spec.parse(recipe.bits), 1), task, tmp_path, torch.device("cpu"))
    trainer.net.train()
    task.restore({"state": None})
    for step in range(3):
        trainer.step = step
        trainer._train_step(*task.batch(0, step))
    found = trainer.net.state_dict()
    for name in ("cell.gates.weight", "cell.gates.bias"):
        assert torch.equal(found[name], centred[name])
        assert not torch.allclose(found[name], usual[name], atol=1e-3)


def test_matrices_of_recurrent_layers_are_centred_and_no_others() -> None:
    lstm, gru = (CentredSteps(LanguageModel(Spec.parse("w2a2,weight=mean"), cell, 50, 8)) for cell in ("lstm", "gru"))
    assert [layer.input_middle for layer in (*lstm.layers, *gru.layers)] == [0.5] * 3
    assert CentredSteps(DoReFaSVHN(Spec.parse("w1a2"), "D")).layers == []
