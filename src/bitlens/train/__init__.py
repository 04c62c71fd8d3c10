# SPDX-License-Identifier: Apache-2.0
"""Training: recipes, the loop, runs that survive being killed (torch)."""

from bitlens.train.catalog import RECIPES, find_recipe
from bitlens.train.loop import evaluate, to_tensor
from bitlens.train.recipe import Recipe, TrainError
from bitlens.train.run import load_run, pick_device, read_config, run

__all__ = [
    "RECIPES",
    "Recipe",
    "TrainError",
    "evaluate",
    "find_recipe",
    "load_run",
    "pick_device",
    "read_config",
    "run",
    "to_tensor",
]
