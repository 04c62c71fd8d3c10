# SPDX-License-Identifier: Apache-2.0
"""Rows trained side by side, each in a process of its own, which says what it has to say in `train.log` of its run's folder.

A net of a table is small: several fill a processor or an accelerator better than one.

    >>> for training, error in side_by_side(trainings, train, Path("runs"), jobs=8): ...      # doctest: +SKIP
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from tqdm import tqdm

from bitlens.results.trainings import Training

__all__ = ["LOG", "side_by_side"]

LOG = "train.log"
_POLL = 2.0  # seconds from one look at the runs' lengths to the next

Train = Callable[[Training], None]


def side_by_side(
    trainings: Sequence[Training], train: Train, runs: Path, jobs: int
) -> Generator[tuple[Training, str | None], None, None]:
    """Train rows; yield each when it is done, with what went wrong or None, and go on with the others.

    Processes that still train are ended when the generator is closed; their runs can be continued.

    Args:
        trainings: in the order in which they begin.
        train: trains one, into its folder below `runs`; must be a function that another process finds (picklable).
        runs: folder of the table's runs.
        jobs: how many train at the same time, 1 or more.
    """
    context = multiprocessing.get_context("spawn")  # a forked process would inherit torch's threads half alive
    waiting, running = list(trainings), dict[Connection, tuple[Training, BaseProcess]]()
    epochs = sum(_length(training) for training in trainings)
    with tqdm(total=epochs, desc="epochs of all rows", disable=None, leave=False) as bar:
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    training = waiting.pop(0)
                    ours, theirs = context.Pipe(duplex=False)
                    given = (training, train, runs / training.folder / LOG, theirs)
                    process: BaseProcess = context.Process(target=_train, args=given, daemon=True)
                    process.start()
                    theirs.close()  # only the process's own end keeps the pipe open
                    running[ours] = training, process
                ended = [end for end in wait([*running], _POLL) if isinstance(end, Connection)]
                bar.n = sum(_done(runs / training.folder) for training in trainings if training not in waiting)
                bar.refresh()
                for end in ended:
                    training, process = running.pop(end)
                    yield training, _outcome(end, process)
        finally:
            for _, process in running.values():
                process.terminate()
            for _, process in running.values():
                process.join()


def _length(training: Training) -> int:
    return training.epochs + sum(int(stage.partition(":")[2]) for stage in training.decay.split(",") if stage)


def _done(run: Path) -> int:
    """Return how many epochs a run has finished."""
    try:
        return (run / "metrics.jsonl").read_bytes().count(b"\n")
    except OSError:
        return 0


def _outcome(end: Connection, process: BaseProcess) -> str | None:
    try:
        error: str | None = end.recv()
    except EOFError:  # it told nothing: killed, for want of memory perhaps
        process.join()
        return f"its process ended with exit code {process.exitcode}"
    process.join()
    return error


def _train(training: Training, train: Train, log: Path, end: Connection) -> None:
    """What a process does: train one row, then send None or the sentence of what went wrong."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends this one
    threading.Thread(target=_end_with_the_first, daemon=True).start()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab", buffering=0) as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())
    from bitlens.train.memory import keep_memory

    keep_memory()
    try:
        train(training)
    except Exception as error:
        end.send(f"{error}" or type(error).__name__)
        raise
    end.send(None)


def _end_with_the_first() -> None:
    """End when the process that started this one has ended, however: nobody else would."""
    first = multiprocessing.parent_process()
    assert first is not None
    first.join()
    os._exit(1)
