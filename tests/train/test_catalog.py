# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from bitlens.quant import Spec
from bitlens.train import RECIPES, TrainError, find_recipe


@pytest.mark.parametrize("name", [*RECIPES])
def test_every_recipe_makes_a_net_of_its_size(name: str) -> None:
    recipe = find_recipe(name)
    assert recipe.name == name
    channels = 3 if name == "dorefa_cifar10" else 1
    net = recipe.net(Spec.parse(recipe.bits)).eval()
    assert net(torch.rand(2, channels, recipe.size, recipe.size)).shape == (2, 10)


def test_unknown_recipe_is_told() -> None:
    with pytest.raises(TrainError) as caught:
        find_recipe("imagenet")
    assert str(caught.value) == "recipe: name must be one of digits, mnist, dorefa_cifar10, not imagenet"
