# SPDX-License-Identifier: Apache-2.0
"""Whether a folder holds the run that a row of a table wants, and what that run ended with.

>>> config, result = read_run(training, Path("runs/dorefa") / training.folder)             # doctest: +SKIP
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from bitlens.results.trainings import Training

__all__ = ["FIGURES", "LOGS", "ReproduceError", "is_finite", "is_trained", "read_run"]

FIGURES = {"test_accuracy": "accuracy", "test_miou": "mean IoU", "test_perplexity": "perplexity"}
LOGS = ("config.json", "metrics.jsonl", "result.json")


class ReproduceError(ValueError):
    """A table, a row or a run that cannot be measured."""


def is_trained(training: Training, runs: Path) -> bool:
    """Return whether a folder of runs holds a result of this one."""
    return (runs / training.folder / "result.json").is_file()


def read_run(training: Training, run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (configuration, result) of a finished run.

    Its settings must be the row's where `bitlens.train.settings.KEYS` says so; its length may be another.

    Args:
        training: what the row wants.
        run: the folder.

    Raises:
        ReproduceError: the folder holds another run, or its result or log is missing or damaged.
        bitlens.train.TrainError: its configuration is missing or damaged.
    """
    from bitlens.quant import Spec
    from bitlens.train import read_config
    from bitlens.train.settings import KEYS, settings_of, spelled

    config, row = read_config(run), settings_of(**training.arguments).config()
    own = config | {"bits": str(Spec.parse(config["bits"]))}
    for key, meant in KEYS.items():
        found, wanted = own.get(key, meant.absent), row.get(key, meant.absent)
        if meant.of_row and found != wanted:
            raise ReproduceError(
                f"{run}: {key} must be {spelled(wanted)} for the row {training.row}, not {spelled(found)}; "
                "keep this run elsewhere, or name another folder of runs"
            )
    if "machine" not in config:
        raise ReproduceError(f"{run / 'config.json'}: machine must be there, not missing")
    result = _read_result(run / "result.json")
    _check_log(run / "metrics.jsonl", result["epochs"])
    return config, result


def _check_log(path: Path, epochs: int) -> None:
    if not path.is_file():
        raise ReproduceError(f"{path}: must be there beside the run's result, not missing")
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except ValueError as error:
        raise ReproduceError(f"{path}: lines must be JSON, not damaged: {error}") from error
    found = [line.get("epoch") if isinstance(line, dict) else None for line in lines]
    if len(lines) != epochs or found != [*range(1, epochs + 1)]:
        raise ReproduceError(
            f"{path}: must hold the run's {epochs} epochs, one a line, not {len(lines)} lines of others"
        )


def _read_result(path: Path) -> dict[str, Any]:
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ReproduceError(f"{path}: must be JSON, not damaged: {error}") from error
    if not isinstance(result, dict):
        raise ReproduceError(f"{path}: must be a run's result, not a {type(result).__name__}")
    for names in (tuple(FIGURES), ("epochs",), ("seconds",)):
        if not any(is_finite(result.get(name)) for name in names):
            raise ReproduceError(f"{path}: {' or '.join(names)} must be a finite number, not missing or something else")
    if not isinstance(result["epochs"], int):
        raise ReproduceError(f"{path}: epochs must be a whole number, not {result['epochs']}")
    return result


def is_finite(value: object) -> bool:
    """Whether something read of JSON is a number that a float can hold, and neither NaN nor infinite."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
