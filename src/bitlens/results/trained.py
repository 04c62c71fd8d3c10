# SPDX-License-Identifier: Apache-2.0
"""The figures of a trained run on its test data; of a language model in both forms, the paper's and the fixed one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from bitlens.models.language import LanguageModel
from bitlens.quant import QuantError
from bitlens.results.line import frozen_run
from bitlens.train import find_recipe, read_config

__all__ = ["evaluate_run"]

CPU = torch.device("cpu")


def evaluate_run(run: str | Path, data: str | Path | None, cache: str | Path | None = None) -> dict[str, Any]:
    """Evaluate a run's net with frozen integers, on the CPU.

    Args:
        run: folder of a trained or published run.
        data: folder of the data set.
        cache: folder for decoded images.

    Returns:
        recipe, bits and the figures of the task; of a quantized language model also those of its fixed form, as
        fixed_valid_perplexity and fixed_test_perplexity.

    Raises:
        bitlens.train.TrainError: the folder holds no run.
        bitlens.data.DataError: the data is missing or damaged.
    """
    config = read_config(run)
    net = frozen_run(run)
    task = find_recipe(config["recipe"]).task.open(data, cache, config["batch"], config["seed"], CPU)
    figures = {"recipe": config["recipe"], "bits": config["bits"], **task.evaluate(net)}
    if isinstance(net, LanguageModel):
        try:
            fixed = net.to_fixed()
        except QuantError:  # a float one has no fixed form
            return figures
        figures |= {f"fixed_{key}": value for key, value in task.evaluate(fixed).items()}
    return figures
