# SPDX-License-Identifier: Apache-2.0
"""One video or folder of pictures, from its frames to captures on disk; finished ones are not scanned again.

>>> scan_source(Path("clip.mp4"), Path("out/clip.mp4.faces"), ScanOptions())["captures"]       # doctest: +SKIP
31
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bitlens.camera.captures import CaptureFolder, read_captures
from bitlens.camera.nets import LineMaker, nets_digest, shipped_line
from bitlens.camera.options import ScanOptions
from bitlens.camera.source import CameraError, Source, open_source
from bitlens.core.files import write_atomically
from bitlens.vision import Frame

__all__ = ["finished_report", "scan_source"]

Report = dict[str, Any]


def scan_source(
    path: Path, folder: Path, options: ScanOptions, make_line: LineMaker = shipped_line, progress: bool = True
) -> Report:
    """Scan a source and write crops/, captures.jsonl and, last, report.json into a folder.

    Args:
        path: of a video, a picture or a folder of pictures.
        folder: of the results. Where it holds those of the same source, options and nets, whole, nothing is done.
        options: of the scan.
        make_line: makes the line of faces.
        progress: show a bar on a terminal.

    Returns:
        The report: counts, bytes and seconds by stage.

    Raises:
        CameraError: the source cannot be read, no frame of it can be decoded, or it is the results' own folder.
        OSError: the source is missing, or a result cannot be written.
    """
    if path.is_dir() and folder.parent.resolve() == path.resolve():
        raise CameraError(f"{path}: results must go to another folder than the pictures")
    with closing(open_source(path, options.threads)) as source:
        key = _key(source, options)
        finished = finished_report(folder)
        if finished is not None and finished["key"] == key:
            return finished
        (folder / "report.json").unlink(missing_ok=True)
        report = _scan(path, source, folder, options, make_line, progress) | {"key": key}
    write_atomically(folder / "report.json", json.dumps(report, indent=1).encode())
    return report


def finished_report(folder: Path) -> Report | None:
    """Return the report of a scan whose captures are all there, None where there is none."""
    try:
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        kept = all((folder / record["crop"]).stat().st_size == record["bytes"] for record in read_captures(folder))
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return report if kept and isinstance(report, dict) and {"key", "place"} <= report.keys() else None


def _scan(
    path: Path, source: Source, folder: Path, options: ScanOptions, make_line: LineMaker, progress: bool
) -> Report:
    """Go through a source's frames and write its captures."""
    line, store = make_line(options, source.rate, source.still), CaptureFolder(folder, path.name, options.quality)
    frames, sizes = 0, Counter[int]()  # of tracks: their faces
    seconds = {"decode": 0.0, **line.seconds, "write": 0.0}
    started, last = time.perf_counter(), 0.0
    bar = tqdm(total=source.expected, desc=path.name, unit=" frames", disable=not (progress and sys.stderr.isatty()))
    with bar:
        for frame in _decoding(source, seconds):
            looked = line.look(frame, all_shots=False)
            before = time.perf_counter()
            store.add(looked.captures)
            if source.still:
                store.add(line.finish())  # the next picture may be of somebody else
            seconds["write"] += time.perf_counter() - before
            frames += 1
            sizes.update(event.track for event in looked.events if event.kind != "end")
            last = frame.time
            bar.update()
    if not frames:
        raise CameraError(f"{path}: must hold a frame that can be decoded, not none")
    store.add(line.finish())
    records = store.finish()
    tracks = {record["track"] for record in records}  # those that are sure: others give nothing
    wall = time.perf_counter() - started
    return {
        "source": str(path),
        "place": str(path.resolve()),
        "frames": frames,
        "faces": sum(sizes[track] for track in tracks),
        "tracks": len(tracks),
        "damaged": source.damaged,
        "captures": len(records),
        "kept_bytes": sum(record["bytes"] for record in records) + (folder / "captures.jsonl").stat().st_size,
        "video_bytes": source.file_bytes,
        "video_seconds": 0.0 if source.still else last + 1 / source.rate,
        "wall_seconds": wall,
        "seconds": seconds | line.seconds,
    }


def _decoding(source: Source, seconds: dict[str, float]) -> Iterator[Frame]:
    """The frames, the time that each takes added up."""
    frames = iter(source)
    while True:
        before = time.perf_counter()
        frame = next(frames, None)
        seconds["decode"] += time.perf_counter() - before
        if frame is None:
            return
        yield frame


def _key(source: Source, options: ScanOptions) -> str:
    """What a report must be of, to be taken over."""
    stamp = [source.file_bytes, *((file.name, file.stat().st_mtime_ns) for file in source.files)]
    told = json.dumps([stamp, asdict(options), nets_digest()])
    return hashlib.sha256(told.encode()).hexdigest()
