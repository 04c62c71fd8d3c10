# SPDX-License-Identifier: Apache-2.0
"""Processes that make the batches of coming steps while the net learns from this one's.

Step k is made by process k mod N, in the order of the steps, so that the run is the same for any N. Processes are spawned:
each opens a maker of its own, none shares memory, threads or a GPU with the trainer, and each ends with it, however it ends.
A script that trains with workers must keep its own work under `if __name__ == "__main__"`.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Generic, NoReturn, Protocol, TypeVar

from bitlens.train.recipe import TrainError

__all__ = ["MOST_WORKERS", "Makes", "Workers"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

MOST_WORKERS = 1024
_POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")  # threads of numpy's products


class Makes(Protocol[T_co]):
    """What works in a process."""

    @property
    def steps(self) -> int:
        """Steps of an epoch."""

    def make(self, epoch: int, step: int) -> T_co:
        """Return the batch of a step."""


class Workers(Generic[T]):
    """Makes batches in other processes; a context.

    Args:
        open_maker: opens a maker; it must be picklable.
        count: of processes, at least 1.
        steps: of an epoch.
    """

    def __init__(self, open_maker: Callable[[], Makes[T]], count: int, steps: int) -> None:
        self.steps = steps
        context = multiprocessing.get_context("spawn")
        self._asked: deque[tuple[tuple[int, int], int]] = deque()  # (epoch, step) and the process that makes it
        self._processes, self._pipes = [], []
        with _one_thread_each():
            for number in range(count):
                own, other = context.Pipe()
                process = context.Process(target=_serve, args=(other, open_maker), name=f"worker {number}", daemon=True)
                process.start()
                other.close()  # so that the pipe ends when the process does
                self._processes.append(process)
                self._pipes.append(own)

    def __enter__(self) -> Workers[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def make(self, epoch: int, step: int) -> T:
        """Return the batch of a step; those of the steps after it are in the making.

        Raises:
            TrainError: a process has died.
            Exception: whatever its maker raised.
        """
        if not self._asked or self._asked[0][0] != (epoch, step):
            self._begin(epoch, step)
        _, number = self._asked.popleft()
        error, made = self._receive(number)
        if error is not None:
            raise error
        self._ask(*self._after(*self._asked[-1][0] if self._asked else (epoch, step)), number)
        found: T = made
        return found

    def close(self) -> None:
        """End the processes."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.terminate()
            process.join()

    def _begin(self, epoch: int, step: int) -> None:
        """Ask every process for one of the coming steps; what was asked for before is of no use."""
        for _, number in self._asked:
            self._receive(number)
        self._asked.clear()
        for number in range(len(self._pipes)):
            self._ask(epoch, step, number)
            epoch, step = self._after(epoch, step)

    def _after(self, epoch: int, step: int) -> tuple[int, int]:
        return (epoch, step + 1) if step + 1 < self.steps else (epoch + 1, 0)

    def _ask(self, epoch: int, step: int, number: int) -> None:
        try:
            self._pipes[number].send((epoch, step))
        except OSError as error:
            raise self._dead(number) from error
        self._asked.append(((epoch, step), number))

    def _receive(self, number: int) -> tuple[Exception | None, Any]:
        try:
            answer: tuple[Exception | None, Any] = self._pipes[number].recv()
        except (EOFError, OSError) as gone:
            raise self._dead(number) from gone
        return answer

    def _dead(self, number: int) -> TrainError:
        process = self._processes[number]
        process.join(1)
        return TrainError(
            f"workers: process {number} must live, not end with exit code {process.exitcode}; "
            "if memory has run out, take fewer"
        )


def _serve(pipe: Connection, open_maker: Callable[[], Makes[T]]) -> None:
    """Make what is asked for until the other end of the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the trainer, whose end closes the pipe
    make: Callable[[int, int], T]
    try:
        make = open_maker().make
    except Exception as error:
        make = partial(_raise, error)
    try:
        while True:
            epoch, step = pipe.recv()
            try:
                answer: tuple[Exception | None, T | None] = None, make(epoch, step)
            except Exception as error:  # for the trainer to raise
                answer = error, None
            pipe.send(answer)
    except (EOFError, OSError):
        return


def _raise(error: Exception, epoch: int, step: int) -> NoReturn:
    raise error


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes begun within use one thread each for numpy's products; there are enough processes."""
    before = {name: os.environ.get(name) for name in _POOLS}
    os.environ.update(dict.fromkeys(_POOLS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
