# SPDX-License-Identifier: Apache-2.0
"""Bars that go on while a step takes long."""

import io
from threading import Event
from threading import enumerate as threads

import pytest

from bitlens.results.ticking import ticking_bar


def running() -> int:
    """Threads but tqdm's own."""
    return sum(thread.name != "tqdm_monitor" for thread in threads())


class Screen(io.StringIO):
    """Says when the bar has been drawn so often."""

    def __init__(self, often: int) -> None:
        super().__init__()
        self.often, self.drawn = often, Event()

    def write(self, text: str) -> int:
        self.often -= "plan" in text
        if self.often <= 0:
            self.drawn.set()
        return super().write(text)


def test_a_step_that_says_nothing_is_drawn_again_and_again() -> None:
    screen, before = Screen(4), running()
    with ticking_bar(5, "plan", to=screen, every=0.01) as bar:
        assert screen.drawn.wait(60)
        bar.update(2)
        assert bar.n == 2
    assert running() == before


def test_a_bar_that_is_not_shown_draws_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    screen, before = Screen(1), running()
    with ticking_bar(5, "plan", shown=False, to=screen, every=0.01) as bar, ticking_bar(5, "plan"):
        assert running() == before
        bar.update()
    assert screen.getvalue() == capsys.readouterr().err == ""
