# SPDX-License-Identifier: Apache-2.0
"""Rows of the papers' tables: trained where that was not done yet, compiled, evaluated as integers on the engine.

What a run leaves in its folder is kept, so that a table goes on where it was stopped; a run whose folder holds a result is
not trained again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitlens.core.files import write_atomically
from bitlens.results.table_run import FIGURES, LOGS, is_trained, read_run
from bitlens.results.trainings import TRAININGS, Training

if TYPE_CHECKING:
    from bitlens.graph.file import Program

__all__ = ["ENGINE", "ENTROPY", "TORCH", "code_entropy", "figure_of", "measures"]

TORCH, ENGINE = "as trained (torch)", "integers on the engine"
ENTROPY = "entropy of the weights' codes, bits"
_DATA = ("ptb", "cifar10", "camvid", "tinyimagenet")

Row = dict[str, Any]


def measures(table: str, runs: Path, logs: Path, train: bool = True) -> dict[str, Callable[[Path | None], list[Row]]]:
    """Return how each row of a table is measured, by its name.

    Args:
        table: name out of `TRAININGS`.
        runs: folder of all tables' runs, each in TABLE/FOLDER.
        logs: folder that configurations, logs and results are copied to, in TABLE/FOLDER.
        train: runs without a result; they are left out otherwise.
    """
    trainings = TRAININGS[table]
    return {
        name: partial(_measure_all, [t for t in trainings if t.row == name], runs / table, logs / table, train)
        for name in dict.fromkeys(t.row for t in trainings)
    }


def figure_of(training: Training) -> str:
    """Return the figure that a row is judged by: of the integer program where there is one."""
    kind = {"ptb": "perplexity", "camvid": "mean IoU"}.get(_data_set(training.recipe), "accuracy")
    return f"{kind}, {ENGINE if training.compiles else TORCH}"


def code_entropy(program: Program, bits: int) -> float:
    """Return the mean entropy of the codes of all layers whose weights have so many bits, each weight counting alike.

    Args:
        program: a compiled net.
        bits: of a weight; layers with more levels, the first and the last, do not count.

    Raises:
        ValueError: no layer has so few levels.
    """
    import numpy as np

    from bitlens.plots.histograms import entropy_bits

    layers = [node.attrs["weights"] for node in program.graph.nodes if "weights" in node.attrs]
    layers = [weights for weights in layers if len(np.unique(weights)) <= 1 << bits]
    if not layers:
        raise ValueError(f"weights: a layer must have at most {1 << bits} levels, not more in all")
    return float(np.average([entropy_bits(w) for w in layers], weights=[w.size for w in layers]))


def _measure_all(trainings: list[Training], runs: Path, logs: Path, train: bool, data: Path | None) -> list[Row]:
    wanted = [training for training in trainings if train or is_trained(training, runs)]
    return [line for training in wanted for line in _measure(training, runs, logs, data)]


def _measure(training: Training, runs: Path, logs: Path, data: Path | None) -> list[Row]:
    """Return the lines of one run."""
    run = runs / training.folder
    place = _place(data, training.recipe)
    if not (run / "result.json").is_file():
        _train(training, run, place)
    config, result = read_run(training, run)
    metric = next(key for key in FIGURES if key in result)
    kind = FIGURES[metric]
    figures = {f"{kind}, {TORCH}": result[metric]}
    if training.compiles:
        figures |= _integers(training, run, kind, place)
    (logs / training.folder).mkdir(parents=True, exist_ok=True)
    for name in LOGS:
        write_atomically(logs / training.folder / name, (run / name).read_bytes())
    line = {
        "seed": training.seed,
        "epochs": result["epochs"],
        "training_seconds": result["seconds"],
        "trained_on": config.get("accelerator") or f"{config['machine']}, {config['threads']} threads",
        "log": f"{logs.name}/{training.folder}/metrics.jsonl",
    }
    told = {figure_of(training): {"published": training.published, "source": training.source}}
    nothing = {"published": None, "source": ""}
    return [{"metric": name, "measured": value, **told.get(name, nothing), **line} for name, value in figures.items()]


def _train(training: Training, run: Path, data: Path | None) -> None:
    from bitlens.train import run as train

    train(
        training.recipe,
        data,
        run,
        training.bits,
        training.epochs,
        resume=True,
        seed=training.seed,
        decay=training.decay or None,
        batch=training.batch,
        rate=training.rate,
        float_free=training.float_free,
    )


def _integers(training: Training, run: Path, kind: str, data: Path | None) -> dict[str, float]:
    """Compile a run and return the figures of its program, which lies in the run's folder afterwards."""
    from bitlens.compiler import compile
    from bitlens.results.forms import open_form
    from bitlens.results.line import accuracy, export_run, test_images
    from bitlens.results.sequence import program_perplexity, tokens_of

    path = run / "program.bitlens"
    program = compile(export_run(run))
    program.save(path)
    form = open_form(str(path))
    folder = None if data is None else str(data)
    if kind == "perplexity":
        value = program_perplexity(form, tokens_of(training.recipe, folder))
    else:
        images, labels = test_images(training.recipe, folder)
        if kind == "mean IoU":
            from bitlens.results.segment import program_iou

            value = program_iou(form, images, labels)
        else:
            value = accuracy(form, images, labels)
    figures = {f"{kind}, {ENGINE}": round(value, 6)}
    if "weight=" in training.bits and kind == "accuracy":
        figures[ENTROPY] = round(code_entropy(program, int(training.bits[1])), 4)
    return figures


def _data_set(recipe: str) -> str:
    return next((name for name in _DATA if name in recipe.split("_")), recipe)


def _place(data: Path | None, recipe: str) -> Path | None:
    """Return the folder of a recipe's data: of its name in the folder of all, or the folder itself."""
    if data is None or not (data / _data_set(recipe)).is_dir():
        return data
    return data / _data_set(recipe)
