# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from bitlens.camera.source import open_source
from bitlens.results import demo_clip
from bitlens.results.demo_clip import draw_frame, face_middle, write_clip


def _photograph() -> np.ndarray:
    y, x = np.mgrid[:512, :512]
    return np.stack([x / 2, y / 2, (x + y) / 4], 2).astype(np.float32)


def test_the_same_frame_each_time_and_another_for_another_number() -> None:
    photograph = _photograph()
    assert np.array_equal(draw_frame(photograph, 3), draw_frame(photograph, 3))
    assert not np.array_equal(draw_frame(photograph, 3), draw_frame(photograph, 4))
    assert draw_frame(photograph, 3).shape == (300, 400, 3)


@pytest.mark.parametrize("number", [0, 17, 42, 120, 157, 173])
def test_the_middle_of_the_face_is_where_it_is_drawn(number: int) -> None:
    y, x = np.mgrid[:512, :512]
    spot = 255 * np.exp(-((x - 222) ** 2 + (y - 118) ** 2) / 400)
    frame = draw_frame(np.repeat(spot[:, :, None], 3, 2).astype(np.float32), number).astype(float).mean(2)
    bright = (frame - 40).clip(0)
    middle_x, middle_y = face_middle(number)
    assert (bright * np.arange(400)).sum() / bright.sum() == pytest.approx(middle_x, abs=6)
    assert (bright * np.arange(300)[:, None]).sum() / bright.sum() == pytest.approx(middle_y, abs=6)


def test_nothing_outside_the_head_turns() -> None:
    y, x = np.mgrid[0:300:10, 0:400:10].astype(np.float32)
    turned, same = demo_clip._turned(x, y, 0.5)
    assert np.array_equal(same, y)
    outside = (x - 222) ** 2 / 85**2 + (y - 118) ** 2 / 105**2 >= 1
    assert np.array_equal(turned[outside], x[outside])
    assert np.abs(turned - x)[~outside].max() > 20
    assert np.array_equal(demo_clip._turned(x, y, 0.0)[0].round(3), x)


def test_places_beyond_the_border_show_the_border() -> None:
    image = _photograph()
    found = demo_clip._sampled(
        image, np.array([[-50.0, 5.5, 521.0]], np.float32), np.array([[7.0, 3.0, 600.0]], np.float32)
    )
    assert found[0, :, 0] == pytest.approx([0, 2.75, 501 / 2])
    assert found[0, :, 1] == pytest.approx([3.5, 1.5, 511 / 2])


def test_the_clip_is_a_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_clip, "FRAMES", 6)
    write_clip(tmp_path / "a.mp4")
    frames = list(open_source(tmp_path / "a.mp4"))
    assert [frame.luma.shape for frame in frames] == [(300, 400)] * 6
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="a process cannot be kept to one core here")
def test_the_clip_is_the_same_on_a_machine_of_one_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By itself the encoder makes a slice for each core."""
    monkeypatch.setattr(demo_clip, "FRAMES", 6)
    write_clip(tmp_path / "many.mp4")
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        write_clip(tmp_path / "one.mp4")
    finally:
        os.sched_setaffinity(0, cores)
    assert (tmp_path / "many.mp4").read_bytes() == (tmp_path / "one.mp4").read_bytes()
