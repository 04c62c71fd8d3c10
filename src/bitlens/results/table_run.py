# SPDX-License-Identifier: Apache-2.0
"""Whether a folder holds the run that a row of a table wants, and what that run ended with.

>>> config, result = read_run(training, Path("runs/dorefa") / training.folder)             # doctest: +SKIP
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bitlens.results.trainings import Training

__all__ = ["FIGURES", "LOGS", "ReproduceError", "is_trained", "read_run"]

FIGURES = {"test_accuracy": "accuracy", "test_miou": "mean IoU", "test_perplexity": "perplexity"}
LOGS = ("config.json", "metrics.jsonl", "result.json")
_DEFAULTS = {"decay": None, "init": None, "float_free": None, "wire_bits": 32}  # of a configuration without the key


class ReproduceError(ValueError):
    """A table, a row or a run that cannot be measured."""


def is_trained(training: Training, runs: Path) -> bool:
    """Return whether a folder of runs holds a result of this one."""
    return (runs / training.folder / "result.json").is_file()


def read_run(training: Training, run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (configuration, result) of a finished run.

    Its length may be another than the row's, which tells how many epochs it had; all else that decides what the figure is
    of must be the row's.

    Args:
        training: what the row wants.
        run: the folder.

    Raises:
        ReproduceError: the folder holds another run, or its result or log is missing or damaged.
        bitlens.train.TrainError: its configuration is missing or damaged.
    """
    from bitlens.quant import Spec
    from bitlens.train import read_config

    config = read_config(run)
    found = _DEFAULTS | config | {"bits": str(Spec.parse(config["bits"]))}
    for key, wanted in _settings(training).items():
        if found[key] != wanted:
            raise ReproduceError(
                f"{run}: {key} must be {wanted} for the row {training.row}, not {found[key]}; "
                "keep this run elsewhere, or name another folder of runs"
            )
    if "machine" not in config:
        raise ReproduceError(f"{run / 'config.json'}: machine must be there, not missing")
    if not (run / "metrics.jsonl").is_file():
        raise ReproduceError(f"{run / 'metrics.jsonl'}: must be there beside the run's result, not missing")
    return config, _read_result(run / "result.json")


def _settings(training: Training) -> dict[str, Any]:
    """What `bitlens.train.run` writes into the configuration for this training, its length left out."""
    from bitlens.quant import Spec
    from bitlens.train import find_recipe
    from bitlens.train.float_free import Options
    from bitlens.train.schedule import plan_stages

    recipe, spec = find_recipe(training.recipe), Spec.parse(training.bits)
    stages = plan_stages(spec, training.epochs, training.decay or None)
    return {
        "recipe": recipe.name,
        "bits": str(spec),
        "seed": training.seed,
        "batch": recipe.batch if training.batch is None else training.batch,
        "rate": recipe.rate if training.rate is None else training.rate,
        "decay": ",".join(f"{stage.spec.middle}:{stage.epochs}" for stage in stages[:-1]) or None,
        "float_free": str(Options.parse(training.float_free)) if training.float_free else None,
        "init": None,
        "wire_bits": _DEFAULTS["wire_bits"],
    }


def _read_result(path: Path) -> dict[str, Any]:
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ReproduceError(f"{path}: must be JSON, not damaged: {error}") from error
    if not isinstance(result, dict):
        raise ReproduceError(f"{path}: must be a run's result, not a {type(result).__name__}")
    for names in (tuple(FIGURES), ("epochs",), ("seconds",)):
        if not any(_is_number(result.get(name)) for name in names):
            raise ReproduceError(f"{path}: {' or '.join(names)} must be a number, not missing or something else")
    return result


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
