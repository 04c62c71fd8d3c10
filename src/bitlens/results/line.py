# SPDX-License-Identifier: Apache-2.0
"""The line from a trained run to an accuracy: export, test images, accuracy of any form."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bitlens.data.dataset import spaced
from bitlens.results.forms import Form

if TYPE_CHECKING:
    import onnx
    from torch import nn

__all__ = ["accuracy", "export_run", "frozen_run", "net_accuracy", "test_images", "to_batch"]

_BATCH = 500


def frozen_run(run: str | Path) -> nn.Module:
    """The net of a run, its weights stored as integers, in evaluation mode."""
    from bitlens.nn import freeze
    from bitlens.train import load_run

    return freeze(load_run(run))


def export_run(run: str | Path) -> onnx.ModelProto:
    """Freeze and export the net of a run; the model remembers recipe, bits and licence."""
    from bitlens.qonnx.export import export
    from bitlens.train import FaceDetection, LanguageModelling, Segmentation, find_recipe, read_config

    config = read_config(run)
    recipe = find_recipe(config["recipe"])
    net: Any = frozen_run(run)
    example = recipe.task.example()
    if isinstance(recipe.task, LanguageModelling):  # one step of the fixed form
        net, example = net.to_fixed(), example.flatten()
    any_size = isinstance(recipe.task, Segmentation | FaceDetection)
    model: onnx.ModelProto = export(net, example, symbolic=any_size)
    told = {"name": f"{config['recipe']} {config['bits']}", "recipe": config["recipe"], "licence": recipe.licence}
    if isinstance(recipe.task, FaceDetection):
        told["threshold"] = _threshold(Path(run))
    for key, text in told.items():
        if not text:
            continue
        entry = model.metadata_props.add()
        entry.key, entry.value = key, text
    return model


def _threshold(run: Path) -> str:
    """The score of a face that a detector's last epoch found on the validation photographs; "" where there is no log."""
    from bitlens.train import TrainError

    log = run / "metrics.jsonl"
    lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    if not lines:
        return ""
    heat = json.loads(lines[-1]).get("val_threshold")
    if heat is None:
        raise TrainError(
            f"{log}: last line must hold val_threshold, not {', '.join(json.loads(lines[-1])) or 'nothing'}"
        )
    return f"{1 / (1 + math.exp(-heat)):.4f}"


def test_images(
    recipe: str, data: str | None = None, cache: str | None = None, limit: int | None = None
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The test images of a recipe as its net sees them, uint8 (N, H, W, C), and labels (N,), or classes (N, H, W).

    With a limit so many of them, evenly spaced.
    """
    from bitlens.train import Classification, FileClassification, Segmentation, TrainError, find_recipe

    if limit is not None and limit < 1:
        raise TrainError(f"limit: must be at least 1, not {limit}")
    task = find_recipe(recipe).task
    if isinstance(task, Segmentation):
        test = task.data(data, cache).test
        chosen = spaced(len(test), limit)
        return test.images[chosen], test.masks[chosen].astype(np.int64)
    if not isinstance(task, Classification | FileClassification):
        raise TrainError(f"{recipe}: task must be classification or segmentation of images, not {type(task).__name__}")
    return task.test_images(data, cache, limit)


def accuracy(form: Form, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]) -> float:
    """Share of images whose largest output (the first one) is at the label."""
    right = 0
    for begin in range(0, len(images), _BATCH):
        (scores, *_) = form.run(images[begin : begin + _BATCH], real=True).values()
        right += int((scores.reshape(len(scores), -1).argmax(axis=1) == labels[begin : begin + _BATCH]).sum())
    return right / len(images)


def net_accuracy(net: nn.Module, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]) -> float:
    """The same for a torch net."""
    import torch

    right = 0
    with torch.no_grad():
        for begin in range(0, len(images), _BATCH):
            scores: Any = net(to_batch(images[begin : begin + _BATCH]))
            right += int((scores.argmax(1).numpy() == labels[begin : begin + _BATCH]).sum())
    return right / len(images)


def to_batch(images: npt.NDArray[np.uint8]) -> Any:
    """uint8 (N, H, W, C) as the float tensor (N, C, H, W) in [0, 1] that nets take."""
    import torch

    from bitlens.train import to_tensor

    return to_tensor(images, torch.device("cpu"))
