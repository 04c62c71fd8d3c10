# SPDX-License-Identifier: Apache-2.0
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from bitlens.quant import Spec
from bitlens.train import RECIPES, FaceDetection, LanguageModelling, TrainError, find_recipe


@pytest.mark.parametrize("name", [*RECIPES])
def test_every_recipe_makes_a_net_of_its_task(name: str) -> None:
    recipe = find_recipe(name)
    assert recipe.name == name
    net = recipe.net(Spec.parse(recipe.bits)).eval()
    example = recipe.task.example()
    with torch.no_grad():
        out = net(torch.cat([example, example]))
    if isinstance(recipe.task, LanguageModelling):
        assert out[0].shape == (2, 1, 10000)
    elif isinstance(recipe.task, FaceDetection):
        assert [cells.shape[:2] for cells in out.values()] == [(2, 15)] * 3
    else:
        classes = {"googlenet_tinyimagenet": 25, "bitfcn_camvid": 11, "face_clearness": 2, "face_pose": 3}
        assert out.shape[:2] == (2, 1000 if name.endswith("_imagenet") else classes.get(name, 10))


def test_the_docs_list_every_recipe_with_its_bits_and_epochs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "train.md").read_text()
    listed = {
        name: (bits, int(epochs))
        for names, bits, epochs in re.findall(r"^\| (`.*?`) \|.*\| `(.*)`, (\d+) \|$", page, re.MULTILINE)
        for name in re.findall(r"\w+", names)
    }
    assert listed == {name: (recipe.bits, recipe.epochs) for name, recipe in RECIPES.items()}


def test_every_recipe_names_the_data_set_that_it_reads() -> None:
    assert [name for name, recipe in RECIPES.items() if not recipe.data_set] == ["digits"]
    for recipe in RECIPES.values():
        reads: Any = getattr(recipe.task, "data", getattr(recipe.task, "corpus", None))
        if getattr(reads, "__module__", "").startswith("bitlens.data."):
            assert recipe.data_set == reads.__name__


def test_unknown_recipe_is_told() -> None:
    with pytest.raises(TrainError) as caught:
        find_recipe("imagenet")
    assert str(caught.value) == f"recipe: name must be one of {', '.join(RECIPES)}, not imagenet"
