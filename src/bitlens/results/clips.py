# SPDX-License-Identifier: Apache-2.0
"""The whole line: how fast on real clips, what is kept, what more frames a second give by our own score, and false captures.

The clips have no labels: they show speed and bytes, and prove nothing about quality by themselves.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bitlens.camera.archive import CONTINUOUS_BYTES_A_SECOND
from bitlens.camera.nets import LineMaker, shipped_line
from bitlens.camera.options import ScanOptions
from bitlens.camera.scan import scan_source
from bitlens.camera.source import open_source
from bitlens.data.dataset import DataError
from bitlens.data.faces import faces
from bitlens.vision import Capture, Frame, Shot

__all__ = ["ROWS", "clip_folder", "false_captures", "gain_on_clips", "line_speed"]

_CROWD = "crowd_people_800x450.mp4"
_DAY = 86_400  # seconds
_TRACKS_A_DAY = 500
_FEW = 5  # frames a second
_LEAST_SECONDS = 0.5  # of a track
_DRAWS = 1000


def clip_folder(data: Path | None) -> Path:
    """Return the folder of clips: that of the face sets, or `video` beside it.

    Raises:
        DataError: neither holds the crowd clip.
    """
    for place in () if data is None else (data, data.parent / "video"):
        if (place / _CROWD).is_file():
            return place
    raise DataError(f"{data}: must hold {_CROWD}, or a folder video beside it must")


def line_speed(data: Path | None, make_line: LineMaker = shipped_line) -> dict[str, float]:
    """Scan the crowd clip, one thread, crops written: speed, time by stage, and what a day of captures takes."""
    clip = clip_folder(data) / _CROWD
    with tempfile.TemporaryDirectory() as folder:
        scan_source(clip, Path(folder) / "first", ScanOptions(), make_line, progress=False)  # opens the nets
        spent = time.process_time()
        report = scan_source(clip, Path(folder) / "second", ScanOptions(), make_line, progress=False)
        spent = time.process_time() - spent
    frames, tracks = report["frames"], max(1, report["tracks"])
    a_track = report["kept_bytes"] / tracks
    stages = {f"milliseconds a frame, {name}": 1e3 * taken / frames for name, taken in report["seconds"].items()}
    return {
        "frames": frames,
        "faces a frame": report["faces"] / frames,
        "frames a second": frames / report["wall_seconds"],
        "frames a second of processor time": frames / spent,
        **stages,
        "tracks": report["tracks"],
        "captures": report["captures"],
        "bytes a track": a_track,
        "bytes of 500 tracks": _TRACKS_A_DAY * a_track,
        "bytes of a day at 2 Mbit/s": CONTINUOUS_BYTES_A_SECOND * _DAY,
        "saved, % of a day at 2 Mbit/s": 100 * (1 - _TRACKS_A_DAY * a_track / (CONTINUOUS_BYTES_A_SECOND * _DAY)),
    }


def gain_on_clips(data: Path | None, make_line: LineMaker = shipped_line) -> dict[str, Any]:
    """Best score of every track in the MP4 clips from all frames over that from five a second, in %, with an interval.

    The score is our own: what it calls better is not known to be, and of more frames its best is never less. Tracks shorter
    than half a second are left out, and ways to take five frames a second that show no face.
    """
    gains: list[float] = []
    for clip in sorted(clip_folder(data).glob("*.mp4")):
        gains += _gains(clip, make_line)
    found = np.array(gains)
    if not len(found):
        return {"tracks": 0}
    rng = np.random.default_rng(0)
    means = [found[rng.integers(0, len(found), len(found))].mean() for _ in range(_DRAWS)]
    low, high = np.percentile(means, [2.5, 97.5])
    return {
        "tracks": len(found),
        "better from all frames than from 5 a second, % of our own score, never below 0": 100 * float(found.mean()),
        "the same, 2.5 and 97.5 percentiles over tracks": [100 * float(low), 100 * float(high)],
    }


def _gains(clip: Path, make_line: LineMaker) -> Iterator[float]:
    source = open_source(clip)
    step = round(source.rate / _FEW)
    if step < 2:
        return  # no more frames than few
    line, tracks = make_line(ScanOptions(), source.rate, False), defaultdict[int, list[Shot]](list)
    for frame in source:
        for shot in line.look(frame).shots:
            tracks[shot.track].append(shot)
    for shots in tracks.values():
        if shots[-1].time - shots[0].time >= _LEAST_SECONDS:
            few = [[shot.score for shot in shots if shot.frame % step == phase] for phase in range(step)]
            best = max(shot.score for shot in shots)
            yield (best - float(np.mean([max(scores) for scores in few if scores]))) / best


def false_captures(data: Path | None, make_line: LineMaker = shipped_line) -> dict[str, Any]:
    """Show the test photographs without faces to the line, each as a picture of its own: every capture is a false one."""
    captures: list[Capture] = []
    empty = [picture for picture in faces(data, "nonface") if picture.split == "test"]
    for picture in empty:
        luma, line = picture.luma(), make_line(ScanOptions(), 1.0, True)
        colours = np.broadcast_to(luma[:, :, None], (*luma.shape, 3))
        captures += line.look(Frame(0, 0.0, luma, lambda colours=colours: colours)).captures  # type: ignore[misc]
        captures += line.finish()
    return {
        "test photographs without faces": len(empty),
        "false captures": len(captures),
        "their scores": sorted((round(capture.shot.score, 1) for capture in captures), reverse=True),
    }


ROWS = {
    "whole line, crowd clip of 800x450": line_speed,
    "whole line, photographs without faces": false_captures,
    "30 against 5 frames a second, clips": gain_on_clips,
}
