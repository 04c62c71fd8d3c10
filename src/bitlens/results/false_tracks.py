# SPDX-License-Identifier: Apache-2.0
"""Videos without faces: photographs looked at by a shaking camera. What is tracked in them is false, what is captured too.

In a video a detector has many chances to be wrong, so that a threshold fixed on photographs says little. The validation row is
what `ScanOptions` fixes its least number of frames on; the test row shows the whole line with it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.camera.nets import LineMaker, shipped_line
from bitlens.camera.options import ScanOptions
from bitlens.data.degrade import Degradation, degrade, resized
from bitlens.data.faces import faces
from bitlens.data.scenes import in_split
from bitlens.results.face_tracks import RATE, compose_track, sharp_pictures
from bitlens.vision import Face, FaceDetector, Frame, Tracker
from bitlens.vision.tracker import WEAK

__all__ = ["ROWS", "false_captures_of_videos", "longest_runs", "shaken", "sure_runs"]

Bytes = npt.NDArray[np.uint8]

_SECONDS = 1.2
_HEIGHT, _WIDTH = 480, 640
_STEPS = (1, 2, 3, 6)  # every so manieth frame
_RUNS = range(1, 7)  # frames in a row
_LEAST_PICTURES = 4  # of a person
_PATIENCE_SECONDS = ScanOptions().patience_seconds


def shaken(luma: Bytes, rng: np.random.Generator) -> list[Bytes]:
    """Return the frames, 30 a second for 1.2 seconds, of a camera that looks at a part of a photograph.

    It pans over what the part leaves of the photograph and zooms in and out by 5 %; focus wavers, noise and JPEG are as usual.

    Args:
        luma: brightness, uint8 (H, W).
        rng: all that is random follows from it.

    Returns:
        Brightness, uint8, the largest that fits into (480, 640).
    """
    height, width = luma.shape
    part, phases = rng.uniform(0.6, 0.95), rng.uniform(0, 2 * math.pi, 4)
    frames = []
    for t in np.arange(round(RATE * _SECONDS)) / RATE:
        zoom, down, across, focus = np.sin(2 * math.pi * t / np.array([2.3, 3.1, 4.3, 1.3]) + phases)
        share = min(1.0, part * (1 + 0.05 * zoom))
        tall, wide = max(1, int(height * share)), max(1, int(width * share))
        top, left = int((height - tall) * (1 + down) / 2), int((width - wide) * (1 + across) / 2)
        scale = min(_HEIGHT / tall, _WIDTH / wide)
        shape = max(1, round(tall * scale)), max(1, round(wide * scale))
        seen = resized(luma[top : top + tall, left : left + wide].astype(np.float32), shape)
        amounts = Degradation(sigma=max(0.0, 1.5 * focus), noise=3.0, quality=70)
        frames.append(degrade((seen + 0.5).clip(0, 255).astype(np.uint8), amounts, rng))
    return frames


def longest_runs(found: Iterable[Sequence[Face]], rate: float, sure: float) -> list[int]:
    """Return of every track the most frames in a row in which the detector was sure.

    Args:
        found: the faces of each frame of a video.
        rate: frames a second.
        sure: the score from which it is.
    """
    tracker = Tracker(start_score=sure, patience=max(1, round(_PATIENCE_SECONDS * rate)))
    longest: dict[int, int] = defaultdict(int)
    for number, of_frame in enumerate(found):
        for event in tracker.update(number, of_frame):
            longest[event.track] = max(longest[event.track], event.run)
    return [*longest.values()]


def sure_runs(data: Path | None) -> dict[str, Any]:
    """By how many frames in a row that are asked for: false tracks in shaken validation photographs, persons that are lost.

    Returns:
        "shots", "persons"; then for 30, 15, 10 and 5 frames a second the mean numbers of false tracks and of persons without a
        track, for 1 to 6 frames in a row.
    """
    sure = FaceDetector(threads=1).sure
    detector = FaceDetector(threads=1, threshold=WEAK * sure)
    pictures = in_split(faces(data, "ytfaces", "nonface"), "val")
    backgrounds = [picture.luma() for picture in pictures if picture.source == "nonface"]
    own = sharp_pictures([picture for picture in pictures if picture.source != "nonface"]).values()
    persons = [pictures for pictures in own if len(pictures) >= _LEAST_PICTURES]
    rng = np.random.default_rng(0)
    shots = [[detector.detect(frame) for frame in shaken(luma, rng)] for luma in backgrounds]
    tracks = (compose_track(some, backgrounds[rng.integers(len(backgrounds))], rng) for some in persons)
    walks = [[detector.detect(frame) for frame in track.frames] for track in tracks]
    figures: dict[str, Any] = {"shots": len(shots), "persons": len(walks)}
    for step in _STEPS:

        def counted(videos: Sequence[Sequence[Sequence[Face]]], count: Callable[[list[int], int], int]) -> list[float]:
            ways = [video[phase::step] for video in videos for phase in range(step)]  # noqa: B023, called at once
            runs = [longest_runs(way, RATE / step, sure) for way in ways]  # noqa: B023
            return [round(sum(count(of_way, least) for of_way in runs) / step, 2) for least in _RUNS]  # noqa: B023

        figures[f"false tracks, {RATE // step} frames a second, by frames in a row"] = counted(
            shots, lambda runs, least: sum(run >= least for run in runs)
        )
        figures[f"persons lost, {RATE // step} frames a second, by frames in a row"] = counted(
            walks, lambda runs, least: int(max(runs, default=0) < least)
        )
    return figures


def false_captures_of_videos(data: Path | None, make_line: LineMaker = shipped_line) -> dict[str, Any]:
    """Show the whole line shaken test photographs without faces, at 30 and at 10 frames a second: every capture is false."""
    empty = [picture for picture in faces(data, "nonface") if picture.split == "test"]
    figures: dict[str, Any] = {"shots": len(empty), "seconds a shot": _SECONDS}
    rng = np.random.default_rng(0)
    videos = [shaken(picture.luma(), rng) for picture in empty]
    for step in (1, 3):
        rate, captures, false_shots = RATE / step, 0, 0
        for video in videos:
            line = make_line(ScanOptions(), rate, False)
            for number, luma in enumerate(video[::step]):
                colours = np.broadcast_to(luma[:, :, None], (*luma.shape, 3))
                line.look(Frame(number, number / rate, luma, lambda colours=colours: colours), all_shots=False)  # type: ignore[misc]
            given = len(line.finish())
            captures, false_shots = captures + given, false_shots + bool(given)
        figures[f"false captures, {rate:.0f} frames a second"] = captures
        figures[f"shots with a false capture, {rate:.0f} frames a second"] = false_shots
    return figures


ROWS = {
    "whole line, shaken photographs without faces": false_captures_of_videos,
    "tracks, frames in a row, validation": sure_runs,
}
