# SPDX-License-Identifier: Apache-2.0
"""Rows of the papers' tables: trained where that was not done yet, compiled, evaluated as integers on the engine.

What a run leaves in its folder is kept, so that a table goes on where it was stopped; a run whose folder holds a result is
not trained again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bitlens.core.files import write_atomically
from bitlens.results.side_by_side import side_by_side
from bitlens.results.table_file import Row, Unit
from bitlens.results.table_run import FIGURES, LOGS, is_trained, read_run
from bitlens.results.trainings import TRAININGS, Training

if TYPE_CHECKING:
    from bitlens.graph.file import Program

__all__ = [
    "ENGINE",
    "ENTROPY",
    "TORCH",
    "How",
    "code_entropy",
    "command_of",
    "figure_of",
    "measures",
    "train_rows",
    "trained",
]

TORCH, ENGINE = "as trained (torch)", "integers on the engine"
ENTROPY = "entropy of the weights' codes, bits"


class How(NamedTuple):
    """On what runs are trained.

    Args:
        threads, device: see `bitlens.train.run`; None: those of the run that is continued, or all cores, shared by the
            runs of the same time, and "auto".
        cache: folder for decoded images; the user's cache folder when None.
        bf16, evaluate_every: see `bitlens.train.run`; a run that was begun in bfloat16 goes on so.
        record: see `bitlens.train.run`.
        jobs: how many runs at the same time.
    """

    threads: int | None = None
    device: str | None = None
    cache: Path | None = None
    bf16: bool = False
    evaluate_every: int = 1
    record: bool = False
    jobs: int = 1


def measures(table: str, runs: Path, logs: Path, how: How) -> dict[Unit, Callable[[Path | None], list[Row]]]:
    """Return how each row of a table is measured, by its name and seed.

    Args:
        table: name out of `TRAININGS`.
        runs: folder of all tables' runs, each in TABLE/FOLDER.
        logs: folder that configurations, logs and results are copied to, in TABLE/FOLDER.
        how: runs without a result are trained.
    """
    return {
        (training.row, training.seed): partial(_measure, training, table, runs / table, logs / table, how)
        for training in TRAININGS[table]
    }


def trained(table: str, runs: Path) -> set[Unit]:
    """Return (row, seed) of a table's runs that have a result in a folder of all tables' runs."""
    return {(training.row, training.seed) for training in TRAININGS[table] if is_trained(training, runs / table)}


def train_rows(
    table: str, wanted: Sequence[Unit], runs: Path, data: Path | None, how: How
) -> Generator[tuple[Unit, Exception | None], None, None]:
    """Yield rows as they are trained, `how.jobs` at the same time, each with what went wrong or None; see `side_by_side`.

    Args:
        table: name out of `TRAININGS`.
        wanted: rows and seeds.
        runs: folder of all tables' runs.
        data: folder of the data.
        how: to train.
    """
    own = [training for training in TRAININGS[table] if (training.row, training.seed) in wanted]
    train = partial(_train_row, runs=runs / table, data=data, how=how)
    with closing(side_by_side(own, train, runs / table, how.jobs)) as turns:
        for training, error in turns:
            yield (training.row, training.seed), error


def figure_of(training: Training) -> str:
    """Return the figure that a row is judged by: of the integer program where there is one."""
    return f"{training.figure}, {ENGINE if training.compiles else TORCH}"


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


def command_of(training: Training, table: str, config: dict[str, Any]) -> str:
    """Return the command that trains a row on such a processor as a run of this configuration had, and measures it."""
    flags = " --bf16" * bool(config.get("bf16")) + " --device cuda" * bool(config.get("accelerator"))
    return f'bitlens reproduce {table} --data DIR --row "{training.row}"{flags}'


def _measure(training: Training, table: str, runs: Path, logs: Path, how: How, data: Path | None) -> list[Row]:
    """Return the lines of one run."""
    run = runs / training.folder
    if not is_trained(training, runs):
        _train_row(training, 1, runs, data, how)
    from bitlens.train.settings import KEYS

    config, result = read_run(training, run)
    metric = next(key for key in FIGURES if key in result)
    kind = FIGURES[metric]
    figures = {f"{kind}, {TORCH}": result[metric]}
    if training.compiles:
        figures |= _integers(training, run, kind, _place(data, training.recipe), how.cache)
    (logs / training.folder).mkdir(parents=True, exist_ok=True)
    for name in LOGS:
        write_atomically(logs / training.folder / name, (run / name).read_bytes())
    line = {
        "seed": training.seed,
        "epochs": result["epochs"],
        "method": config.get("method", KEYS["method"].absent),
        "training_seconds": result["seconds"],
        "trained_on": _place_of(config),
        "log": f"{logs.name}/{training.folder}/metrics.jsonl",
        "command": command_of(training, table, config),
    }
    told = {figure_of(training): {"published": training.published, "source": training.source}}
    nothing = {"published": None, "source": ""}
    return [{"metric": name, "measured": value, **told.get(name, nothing), **line} for name, value in figures.items()]


def _place_of(config: dict[str, Any]) -> str:
    threads = "1 thread" if config["threads"] == 1 else f"{config['threads']} threads"
    own: str = config.get("accelerator") or f"{config['machine']}, {threads}"
    return f"{own}, bfloat16" if config.get("bf16") else own


def _train_row(training: Training, together: int, runs: Path, data: Path | None, how: How) -> None:
    """Train a row, one of so many at the same time."""
    import torch

    from bitlens.train import read_config
    from bitlens.train import run as train

    run = runs / training.folder
    begun = read_config(run) if (run / "checkpoint.pt").is_file() else {}
    threads = torch.get_num_threads()
    try:
        train(
            **training.arguments,
            data=_place(data, training.recipe),
            out=run,
            resume=True,
            device=how.device or begun.get("device", "auto"),
            threads=how.threads if how.threads is not None else begun.get("threads", max(1, threads // together)),
            cache=how.cache,
            bf16=how.bf16 or begun.get("bf16", False),
            evaluate_every=how.evaluate_every,
            record=how.record,
        )
    finally:
        torch.set_num_threads(threads)  # those of a continued run are not the next one's


def _integers(training: Training, run: Path, kind: str, data: Path | None, cache: Path | None) -> dict[str, float]:
    """Compile a run and return the figures of its program, which lies in the run's folder afterwards."""
    from bitlens.compiler import compile
    from bitlens.quant import Spec
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
        images, labels = test_images(training.recipe, folder, None if cache is None else str(cache))
        if kind == "mean IoU":
            from bitlens.results.segment import program_iou

            value = program_iou(form, images, labels)
        else:
            value = accuracy(form, images, labels)
    figures = {f"{kind}, {ENGINE}": round(value, 6)}
    if "weight=" in training.bits:
        figures[ENTROPY] = round(code_entropy(program, Spec.parse(training.bits).middle.weight), 4)
    return figures


def _place(data: Path | None, recipe: str) -> Path | None:
    """Return the folder of a recipe's data: that of its data set in the folder of all, or the folder itself."""
    from bitlens.train import find_recipe

    name = find_recipe(recipe).data_set
    return data / name if data is not None and name and (data / name).is_dir() else data
