# SPDX-License-Identifier: Apache-2.0
import time
from pathlib import Path

import pytest

from bitlens.plots.canvas import PlotError, new_figure, save_figure


@pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_pictures_are_written_whole(tmp_path: Path, ending: str, start: bytes) -> None:
    path = save_figure(new_figure(1, 1), tmp_path / f"a.{ending}")
    assert path.read_bytes().startswith(start)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_the_same_picture_is_the_same_bytes(tmp_path: Path, ending: str) -> None:
    def draw(name: str) -> bytes:
        figure = new_figure(2, 2)
        figure.add_subplot().plot([1, 2], marker="o")
        return save_figure(figure, tmp_path / f"{name}.{ending}").read_bytes()

    first = draw("a")
    time.sleep(1.1)  # beyond the seconds of a date
    assert first == draw("b")


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlotError) as caught:
        save_figure(new_figure(1, 1), tmp_path / "a.bmp")
    assert str(caught.value) == f"{tmp_path}/a.bmp: name must end in one of .png, .svg, .pdf, not .bmp"


def test_nothing_stays_behind_where_writing_fails(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(OSError, match="directory"):
        save_figure(new_figure(1, 1), tmp_path / "a.png")
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]
