# SPDX-License-Identifier: Apache-2.0
"""Training: recipes, the loop, runs that survive being killed (torch)."""

from bitlens.train.catalog import RECIPES, find_recipe
from bitlens.train.classify import Classification, evaluate, to_tensor
from bitlens.train.classify_files import FileClassification
from bitlens.train.detect import FaceDetection
from bitlens.train.folder import load_run, read_config
from bitlens.train.language import LanguageModelling, perplexity
from bitlens.train.memory import keep_memory
from bitlens.train.recipe import Recipe, TrainError
from bitlens.train.run import pick_device, run
from bitlens.train.segment import Segmentation
from bitlens.train.task import Task, TaskSetup

__all__ = [
    "RECIPES",
    "Classification",
    "FaceDetection",
    "FileClassification",
    "LanguageModelling",
    "Recipe",
    "Segmentation",
    "Task",
    "TaskSetup",
    "TrainError",
    "evaluate",
    "find_recipe",
    "keep_memory",
    "load_run",
    "perplexity",
    "pick_device",
    "read_config",
    "run",
    "to_tensor",
]
