# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from bitlens.quant import Spec
from bitlens.train import find_recipe


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
