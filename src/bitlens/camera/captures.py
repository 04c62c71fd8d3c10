# SPDX-License-Identifier: Apache-2.0
"""Captures on disk: a JPEG a shot, and captures.jsonl, a line of JSON a shot, highest score first."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from bitlens.core.files import write_atomically
from bitlens.vision import Capture

__all__ = ["CaptureFolder", "read_captures", "write_captures"]

Record = dict[str, Any]


class CaptureFolder:
    """Writes the captures of one source; what an earlier, unfinished scan has left there goes first.

    Args:
        folder: made where it is missing.
        source: name of the source, for the records.
        quality: of the JPEGs.
    """

    def __init__(self, folder: Path, source: str, quality: int) -> None:
        self._folder, self._source, self._quality = folder, source, quality
        self._records: dict[tuple[int, int], Record] = {}  # by track and frame
        (folder / "crops").mkdir(parents=True, exist_ok=True)
        for old in (folder / "captures.jsonl", *(folder / "crops").glob("track*_frame*.jpg")):
            old.unlink(missing_ok=True)

    def add(self, captures: Iterable[Capture]) -> None:
        """Write the crops at once; a shot that is given twice is written once."""
        for capture in captures:
            shot = capture.shot
            record = self._records.get((shot.track, shot.frame))
            if record is None:
                assert shot.crop is not None  # it was wanted
                name = f"crops/track{shot.track:04}_frame{shot.frame:06}.jpg"
                stream = io.BytesIO()
                Image.fromarray(shot.crop).save(stream, "JPEG", quality=self._quality)
                write_atomically(self._folder / name, stream.getvalue())
                record = self._records[shot.track, shot.frame] = _record(capture, self._source, name)
                record["bytes"] = stream.tell()
            record["kinds"].append(capture.kind)

    def finish(self) -> list[Record]:
        """Write captures.jsonl and return its records."""
        return write_captures(self._folder, self._records.values())


def write_captures(folder: Path, records: Iterable[Mapping[str, Any]]) -> list[Record]:
    """Write the captures.jsonl of a folder, highest score first, and return it so."""
    found = sorted((dict(record) for record in records), key=_by_score)
    write_atomically(folder / "captures.jsonl", "".join(json.dumps(record) + "\n" for record in found).encode())
    return found


def read_captures(folder: Path) -> list[Record]:
    """Read the captures.jsonl of a folder."""
    return [json.loads(line) for line in (folder / "captures.jsonl").read_text(encoding="utf-8").splitlines()]


def _by_score(record: Mapping[str, Any]) -> tuple[float, str, int, int]:
    return -record["score"], record["source"], record["frame"], record["track"]


def _record(capture: Capture, source: str, crop: str) -> Record:
    shot, box = capture.shot, capture.shot.face.box
    return {
        "source": source,
        "track": shot.track,
        "frame": shot.frame,
        "seconds": round(shot.time, 3),
        "score": round(shot.score, 3),
        "clearness": round(shot.clearness, 2),
        "frontality": round(shot.frontality, 2),
        "exposure": round(shot.exposure, 2),
        "yaw": round(shot.yaw, 2),
        "pitch": round(shot.pitch, 2),
        "roll": round(shot.roll, 2),
        "box": [round(float(value), 2) for value in (box.left, box.top, box.width, box.height)],
        "landmarks": [[round(float(x), 2), round(float(y), 2)] for x, y in shot.face.landmarks],
        "detector_score": round(float(shot.face.score), 4),
        "kinds": [],
        "crop": crop,
    }
