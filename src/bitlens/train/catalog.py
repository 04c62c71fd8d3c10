# SPDX-License-Identifier: Apache-2.0
"""The recipes, one entry each."""

from __future__ import annotations

from bitlens.data import cifar10, digits, mnist
from bitlens.models import DigitsNet, DoReFaSVHN
from bitlens.train.recipe import Recipe, TrainError

__all__ = ["RECIPES", "find_recipe"]

_ALL = (
    Recipe(
        name="digits",
        data=lambda path, cache: digits(),
        net=DigitsNet,
        bits="w1a2",
        size=8,
        flip=False,
        epochs=30,
        batch=32,
        rate=3e-3,
    ),
    Recipe(
        name="mnist",
        data=lambda path, cache: mnist(path),
        net=lambda spec: DigitsNet(spec, 28),
        bits="w1a2",
        size=28,
        flip=False,
        epochs=5,
    ),
    Recipe(
        name="dorefa_cifar10",
        data=cifar10,
        net=lambda spec: DoReFaSVHN(spec, "B"),
        bits="w1a2g6",
        size=40,
        flip=True,
        epochs=15,
        rate=2e-3,
    ),
)

RECIPES = {recipe.name: recipe for recipe in _ALL}


def find_recipe(name: str) -> Recipe:
    """Return a recipe by name.

    Raises:
        TrainError: there is none of this name.
    """
    if name not in RECIPES:
        raise TrainError(f"recipe: name must be one of {', '.join(RECIPES)}, not {name}")
    return RECIPES[name]
