# SPDX-License-Identifier: Apache-2.0
"""Progress bars whose clock goes on while a step reports nothing: planning, building, the first image of a long run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["ticking_bar"]


@contextmanager
def ticking_bar(
    total: int, title: str, *, shown: bool = True, to: TextIO | None = None, every: float = 1.0
) -> Iterator[tqdm[Any]]:
    """A bar that is drawn anew each second; gone when the block ends.

    Args:
        total: steps.
        title: what is done.
        shown: on a terminal only if so.
        to: where it is drawn; standard error where None, if that is a terminal.
        every: seconds.
    """
    from tqdm import tqdm

    quiet = not shown or (to is None and not sys.stderr.isatty())
    with tqdm(total=total, desc=title, disable=quiet, leave=False, file=to) as bar:
        if quiet:
            yield bar
            return
        done = Event()

        def tick() -> None:
            while not done.wait(every):
                bar.refresh()

        clock = Thread(target=tick, daemon=True)
        clock.start()
        try:
            yield bar
        finally:
            done.set()
            clock.join()
