# SPDX-License-Identifier: Apache-2.0
"""`run` is what `bitlens train` calls.

>>> run("dorefa_cifar10", data="cifar10", out="runs/w1a2", bits="w1a2g6", resume=True)
"""

from __future__ import annotations

import random
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bitlens.core.files import remove_partial
from bitlens.core.lock import FolderLock
from bitlens.train.checkpoint import process_seed
from bitlens.train.exchange import FLOAT, WIRE_BITS
from bitlens.train.float_free import FloatFree
from bitlens.train.folder import check_writable, continues, hold_folder, make_folder, read_weights, write_json
from bitlens.train.group import joined, process_count
from bitlens.train.loop import Trainer
from bitlens.train.maker import MadeSetup, MadeTask
from bitlens.train.memory import telling_memory
from bitlens.train.recipe import Recipe, TrainError
from bitlens.train.settings import Settings, place_of, settings_of
from bitlens.train.threads import set_threads
from bitlens.train.weights import save_weights
from bitlens.train.workers import MOST_WORKERS, Workers

__all__ = ["pick_device", "run"]


def pick_device(name: str) -> torch.device:
    """Return the device of a name; "auto" takes CUDA where there is one.

    Raises:
        TrainError: the device does not exist here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")  # a place for no net
    if (device.index or 0) >= {"cpu": 1, "cuda": torch.cuda.device_count()}.get(device.type, 0):
        raise TrainError(f"device: must be one of auto, cpu, cuda and exist here, not {name}")
    return device


def run(
    recipe: str,
    data: str | Path | None = None,
    out: str | Path = "run",
    bits: str | None = None,
    epochs: int | None = None,
    resume: bool = False,
    device: str = "auto",
    threads: int | None = None,
    seed: int = 0,
    cache: str | Path | None = None,
    every_steps: int = 0,
    init: str | Path | None = None,
    decay: str | None = None,
    delay: int = 0,
    batch: int | None = None,
    rate: float | None = None,
    workers: int = 0,
    record: bool = False,
    evaluate_every: int = 1,
    float_free: str = "",
    accumulate: int = 1,
    wire_bits: int = FLOAT,
    bf16: bool = False,
) -> dict[str, Any]:
    """Train a recipe's net and leave the run in a folder; in every process that `torchrun` has started.

    Args:
        recipe: name in the catalog.
        data: folder of the data set; none needed for `digits`.
        out: the run's folder; made when missing.
        bits: spec string; the recipe's when None.
        epochs: length; the recipe's when None.
        resume: continue a run of this folder where it stopped; starts anew in an empty folder.
        device: "auto", "cpu" or "cuda".
        threads: torch's threads, 1 to 1024; all cores when None.
        seed: of weights, data order, augmentation and gradient noise; 0 to 2^32 - 1.
        cache: folder for decoded images; the user's cache folder when None.
        every_steps: also write a checkpoint after so many steps; 0 for epochs' ends only.
        init: start from the weights of this run, or of this file (a state dict), of the same net with other bits.
        decay: stages before the run's own bits, each starting from the one before, such as "w32a32:5,w8a8:3"
            (bits:epochs); see `plan_stages`.
        delay: so many epochs in float first; the same as decay "w32a32:DELAY".
        batch: samples a step; the recipe's when None.
        rate: largest learning rate of every stage; the recipe's when None.
        workers: processes that make the batches of coming steps, for recipes whose batches are made (the face nets);
            the run is the same for any number. See `bitlens.train.workers`.
        record: on CUDA, record a step once and replay it, which is faster for small nets; see `train.replay`.
        evaluate_every: evaluate after so many epochs only, and after the last.
        float_free: train on integers alone: "on", or keys such as "masters=12,norm=range"; see
            `train.float_free.Options`.
        accumulate: learn each process's share of a batch in so many parts, one after the other, and step once.
        wire_bits: of a gradient that processes send to each other: 1, 2, 4 or 8, rounded stochastically, or 32; see
            `train.exchange`.
        bf16: on the CPU, multiply the matrices of training steps in bfloat16, where it can; see `train.products`.

    Returns:
        The result, also in `result.json`: recipe, bits, epochs, seconds, and the task's figure of the last epoch
        (test_accuracy, test_miou or test_perplexity).

    Raises:
        TrainError: the run cannot start or continue.
        bitlens.data.DataError: the data is missing or damaged.
        bitlens.quant.QuantError: the spec string is wrong.
    """
    settings = settings_of(
        recipe,
        bits=bits,
        epochs=epochs,
        seed=seed,
        init=None if init is None else str(init),
        decay=decay,
        delay=delay,
        batch=batch,
        rate=rate,
        float_free=float_free,
        accumulate=accumulate,
        wire_bits=wire_bits,
        bf16=bf16,
    )
    chosen, stages, options = settings.recipe, settings.stages, settings.float_free
    if every_steps < 0:
        raise TrainError(f"every_steps: must be at least 0, not {every_steps}")
    if evaluate_every < 1:
        raise TrainError(f"evaluate_every: must be at least 1, not {evaluate_every}")
    place = pick_device(device)
    if record and place.type != "cuda":
        raise TrainError(f"record: device must be cuda, not {place.type}; train without --record")
    if bf16 and place.type != "cpu":
        raise TrainError(f"bf16: device must be cpu, not {place.type}; train without --bf16")
    _check_processes(chosen, accumulate, wire_bits, record, float_free=options is not None)
    set_threads(threads)
    _check_workers(chosen, workers)
    for stage in stages[1:]:
        chosen.fresh(stage.spec)  # what its net cannot have is told before there is a run
    _check_float_free(settings)
    folder = Path(out)
    config = settings.config() | place_of(place)
    lock = FolderLock(folder)
    with closing(lock), joined(place, wire_bits, seed) as group:
        continued = group.told(lambda: _prepared(lock, config, resume))
        weights = None if init is None or continued else read_weights(init)
        with telling_memory(chosen.name, chosen.batch, place), ExitStack() as stack:
            task = chosen.task.open(data, cache, chosen.batch, seed, place)
            if task.fewest < group.count:
                raise TrainError(
                    f"processes: must be at most {task.fewest}, the samples of the smallest step of {chosen.name}, "
                    f"not {group.count}"
                )
            if accumulate > 1 and task.carried != ():
                raise TrainError(f"accumulate: must be 1 for {chosen.name}, whose state is carried, not {accumulate}")
            if workers:
                assert isinstance(chosen.task, MadeSetup)
                assert isinstance(task, MadeTask)
                opened = partial(chosen.task.maker, data, chosen.batch, seed)
                task.workers = stack.enter_context(Workers(opened, workers, task.steps))
            _seed(seed)
            trainer = Trainer(
                chosen,
                stages,
                task,
                folder,
                place,
                every_steps=every_steps,
                seed=seed,
                record=record,
                evaluate_every=evaluate_every,
                float_free=options,
                accumulate=accumulate,
                group=group,
                bf16=bf16,
            )
            if continued:
                trainer.restore()
            else:
                if group.number:
                    torch.manual_seed(process_seed(seed, group.number))  # dropout of its own
                if weights is not None:
                    trainer.start(weights.values, str(init), weights.bits)
                group.told(lambda: _begun(lock, config))
            metrics = trainer.run()
        return group.told(partial(_finish, trainer, metrics, folder))


def _prepared(lock: FolderLock, config: dict[str, Any], resume: bool) -> bool:
    """Whether the folder, this process's from now on if it exists, holds a run to continue; it can be written."""
    if lock.folder.is_dir():
        hold_folder(lock)
    continued = continues(lock.folder, config, resume)
    check_writable(lock.folder)
    remove_partial(lock.folder)
    return continued


def _begun(lock: FolderLock, config: dict[str, Any]) -> None:
    """Begin a run in a folder, made now if it did not exist."""
    make_folder(lock.folder)
    hold_folder(lock)
    if (lock.folder / "checkpoint.pt").is_file():
        raise TrainError(f"{lock.folder}: must be empty for a new run, not hold one begun while data were read")
    write_json(lock.folder / "config.json", config)


def _finish(trainer: Trainer, metrics: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """Write and return the result."""
    metric = trainer.task.metric
    result = {
        "recipe": trainer.recipe.name,
        "bits": str(trainer.stages[-1].spec),
        "epochs": trainer.epochs,
        metric: metrics[-1][metric],
        "seconds": round(sum(line["seconds"] for line in metrics), 1),
    }
    save_weights(trainer.net.cpu(), folder / "weights.npz")
    write_json(folder / "result.json", result)
    return result


def _check_processes(recipe: Recipe, accumulate: int, wire_bits: int, record: bool, float_free: bool) -> None:
    count = process_count()
    if accumulate < 1:
        raise TrainError(f"accumulate: must be at least 1, not {accumulate}")
    if recipe.batch % (count * accumulate):
        raise TrainError(
            f"batch: must be a multiple of {count * accumulate} (processes times parts, {count} x {accumulate}), "
            f"not {recipe.batch}"
        )
    if wire_bits not in WIRE_BITS:
        raise TrainError(f"wire_bits: must be one of {', '.join(map(str, WIRE_BITS))}, not {wire_bits}")
    if count * wire_bits >= 2 * FLOAT and wire_bits != FLOAT:
        saving = ", ".join(str(bits) for bits in WIRE_BITS if bits == FLOAT or count * bits < 2 * FLOAT)
        raise TrainError(
            f"wire_bits: must be one of {saving} for {count} processes, each of which sends its codes to all others, "
            f"not {wire_bits}"
        )
    if count == 1 and wire_bits != FLOAT:
        raise TrainError(f"wire_bits: must be {FLOAT} for one process, which sends nothing, not {wire_bits}")
    if float_free and count > 1:
        raise TrainError(f"float_free: must be off for {count} processes; train without --float-free")
    if float_free and accumulate > 1:
        raise TrainError(f"accumulate: must be 1 to train without float, not {accumulate}")
    if count > 1 and record:
        raise TrainError(f"record: must be off for {count} processes; train without --record")


def _check_workers(recipe: Recipe, workers: int) -> None:
    if not 0 <= workers <= MOST_WORKERS:
        raise TrainError(f"workers: must be 0 to {MOST_WORKERS}, not {workers}")
    if workers and not isinstance(recipe.task, MadeSetup):
        raise TrainError(f"workers: must be 0 for {recipe.name}, whose batches are read, not {workers}")


def _check_float_free(settings: Settings) -> None:
    """Take a step on black images in every stage: what a net lacks to train without float is told before there is a run."""
    if settings.float_free is None:
        return
    example = settings.recipe.task.example()
    for stage in settings.stages:
        free = FloatFree(settings.recipe.fresh(stage.spec), settings.float_free)
        free.set_rate(settings.recipe.rate)
        free.learn(torch.cat([example, example]), torch.zeros(2, dtype=torch.int64))


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - for the user's own code
    torch.manual_seed(seed)
