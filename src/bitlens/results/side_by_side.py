# SPDX-License-Identifier: Apache-2.0
"""Rows trained side by side, each in a process of its own, which says what it has to say in `train.log` of its run's folder.

A net of a table is small: several fill a processor or an accelerator better than one.

    >>> for training, error in side_by_side(trainings, train, Path("runs"), jobs=8): ...      # doctest: +SKIP

A script that does so must keep its work under `if __name__ == "__main__":`, because each process imports it again.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from tqdm import tqdm

from bitlens.results.table_run import ReproduceError, is_trained
from bitlens.results.trainings import Training

__all__ = ["LOG", "side_by_side"]

LOG = "train.log"
_POLL = 2.0  # seconds from one look at the runs' lengths to the next
_PATIENCE = 10.0  # seconds that a process has to remove what is half-written

Train = Callable[[Training, int], None]
Done = tuple[Training, Exception | None]


def side_by_side(trainings: Sequence[Training], train: Train, runs: Path, jobs: int) -> Generator[Done, None, None]:
    """Train rows; yield each when it is done, with what went wrong or None, and go on with the others.

    What is trained already is yielded first, while the others begin. Processes that still train are ended when the
    generator is closed; their runs can be continued.

    Args:
        trainings: in the order in which they begin.
        train: trains one, into its folder below `runs`, given how many train at the same time; must be a function that
            another process finds (picklable).
        runs: folder of the table's runs.
        jobs: how many train at the same time, 1 or more.

    Raises:
        OSError: a run's folder cannot be made.
    """
    missing = [training for training in trainings if not is_trained(training, runs)]
    done: list[Done] = [(training, None) for training in trainings if training not in missing]
    lengths = {training: _length(training) for training in missing}
    together = min(jobs, len(missing))
    waiting, running = list(missing), dict[Connection, tuple[Training, BaseProcess]]()
    off = None if missing else True  # None: without a terminal
    begun = sum(_epochs_done(runs / training.folder) for training in missing)
    with tqdm(total=sum(lengths.values()), initial=begun, desc="epochs of all rows", disable=off, leave=False) as bar:
        try:
            while done or waiting or running:
                while waiting and len(running) < jobs:
                    training = waiting.pop(0)
                    end, process = _begin(training, together, train, runs / training.folder)
                    running[end] = training, process
                if done:
                    yield done.pop(0)
                # Without processes it would wait for nothing for ever.
                ready = wait([*running], 0 if done else None if bar.disable else _POLL) if running else []
                for end in [end for end in running if end in ready]:
                    training, process = running.pop(end)
                    error = _outcome(end, process, runs / training.folder / LOG)
                    if error is not None:
                        lengths[training] = _epochs_done(runs / training.folder)
                    done.append((training, error))
                bar.total = sum(lengths.values())
                bar.n = sum(_epochs_done(runs / training.folder) for training in missing)
                bar.refresh()
        finally:
            _end([process for _, process in running.values()])


def _begin(training: Training, together: int, train: Train, run: Path) -> tuple[Connection, BaseProcess]:
    context = multiprocessing.get_context("spawn")  # a forked process would inherit torch's threads half alive
    run.mkdir(parents=True, exist_ok=True)
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_train, args=(training, together, train, run / LOG, theirs), daemon=True)
    with _deaf():
        process.start()
    theirs.close()  # only the process's own end keeps the pipe open
    return ours, process


@contextmanager
def _deaf() -> Iterator[None]:
    """Let a process begin that Ctrl-C does not reach: the first process, whom it is for, ends it."""
    resource_tracker.ensure_running()  # started with the first process, it would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(_PATIENCE)
        if process.is_alive():
            process.kill()
            process.join()


def _length(training: Training) -> int:
    from bitlens.train.settings import settings_of

    return sum(stage.epochs for stage in settings_of(**training.arguments).stages)


def _epochs_done(run: Path) -> int:
    try:
        return (run / "metrics.jsonl").read_bytes().count(b"\n")
    except OSError:
        return 0


def _outcome(end: Connection, process: BaseProcess, log: Path) -> Exception | None:
    try:
        error: Exception | None = end.recv()
    except EOFError:
        process.join()
        error = ReproduceError(
            f"{log}: the process that trains must live, not end with exit code {process.exitcode}; "
            "if memory has run out, take fewer jobs"
        )
    process.join()
    return error


def _train(training: Training, together: int, train: Train, log: Path, end: Connection) -> None:
    """What a process does: train one row, then send None or what went wrong."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # removes what is half-written
    threading.Thread(target=_end_with_the_first, daemon=True).start()
    with log.open("a", buffering=1, encoding="utf-8") as file, redirect_stdout(file), redirect_stderr(file):
        try:
            from bitlens.train.memory import keep_memory

            keep_memory()
            train(training, together)
        except Exception as error:
            traceback.print_exc()
            end.send(error)
        else:
            end.send(None)


def _end_with_the_first() -> None:
    """End when the process that started this one has ended, however: nobody else would."""
    first = multiprocessing.parent_process()
    assert first is not None
    first.join()
    os.kill(os.getpid(), signal.SIGTERM)
