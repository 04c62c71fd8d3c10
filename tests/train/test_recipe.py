# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import pytest
import torch

from bitlens.quant import Spec
from bitlens.train import find_recipe
from bitlens.train.catalog import RECIPES


@pytest.mark.parametrize("name", ["dorefa_cifar10_c", "resnet20_cifar10"])
def test_an_optimizer_to_be_recorded_takes_the_same_steps(name: str) -> None:
    recipe, found = find_recipe(name), []
    for recorded in (False, True):
        torch.manual_seed(0)
        net = recipe.fresh(Spec.parse("w1a2"))
        optimizer = recipe.optimizer_of(net, recorded)
        for rate in (0.1, 0.05, 0.01):
            for group in optimizer.param_groups:
                if recorded:
                    group["lr"].fill_(rate)
                else:
                    group["lr"] = rate
            for parameter in net.parameters():
                parameter.grad = torch.randn_like(parameter)
            optimizer.step()
        found.append(torch.cat([parameter.detach().flatten() for parameter in net.parameters()]))
    torch.testing.assert_close(found[1], found[0])


@pytest.mark.parametrize("drops", [(), (0.5,)])
def test_a_warm_up_raises_the_rate_evenly_to_what_it_would_be(drops: tuple[float, ...]) -> None:
    usual = replace(find_recipe("lstm_ptb"), rate=0.5, drops=drops, warmup=0.0)
    warm = replace(usual, warmup=0.25)
    assert [warm.rate_at(done) / usual.rate_at(done) for done in (0, 0.0625, 0.125)] == [0, 0.25, 0.5]
    assert [warm.rate_at(done) for done in (0.25, 0.3, 0.9, 1)] == [usual.rate_at(done) for done in (0.25, 0.3, 0.9, 1)]


def test_language_models_warm_up_and_others_do_not() -> None:
    assert {name for name, recipe in RECIPES.items() if recipe.warmup} == {"lstm_ptb", "gru_ptb"}
