# SPDX-License-Identifier: Apache-2.0
"""Many sources scanned into one folder: a folder each, all captures sorted together, contact sheets, what was saved."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bitlens.camera.captures import read_captures, write_captures
from bitlens.camera.nets import LineMaker, shipped_line
from bitlens.camera.options import ScanOptions
from bitlens.camera.scan import Report, finished_report, scan_source
from bitlens.camera.sheet import ORDERS, draw_sheet
from bitlens.camera.source import CameraError
from bitlens.core.files import write_atomically
from bitlens.runtime import SessionError

__all__ = ["Job", "folders_of", "scan_archive", "scan_job", "scan_jobs"]

Job = tuple[Path, Path, ScanOptions]  # a source, the folder of its results, how
CONTINUOUS_BYTES_A_SECOND = 250_000  # of a recording at 2 Mbit/s


def scan_archive(
    paths: Sequence[Path],
    folder: Path,
    options: ScanOptions,
    scan: Callable[[Sequence[Job]], Iterable[Report | str]] | None = None,
    tell: Callable[[str], None] = print,
) -> Report:
    """Scan sources and write captures.jsonl, by_clearness.png, by_pose.png and report.json beside their folders.

    These are of all sources that have been scanned into the folder, those of earlier calls among them.

    Args:
        paths: of videos, pictures and folders of pictures; one named twice is scanned once.
        folder: of the results.
        options: of the scans.
        scan: takes jobs and gives each one's report or, where it failed, a sentence; None: one after the other, here.
        tell: takes a sentence for each source that could not be scanned.

    Returns:
        The report: the sums of all in the folder, and "failed": the number of sources that could not be scanned.

    Raises:
        CameraError: no source could be scanned.
        OSError: a source is missing (nothing is scanned then), or a result cannot be written.
    """
    for path in paths:
        path.stat()
    places = folders_of(paths, folder)
    folder.mkdir(parents=True, exist_ok=True)
    reports: dict[str, Report] = {}
    failures = []
    jobs = [(path, folder / name, options) for path, name in places.items()]
    for (path, name), found in zip(places.items(), (scan or scan_jobs)(jobs), strict=True):
        if isinstance(found, str):
            failures.append(found)
        else:
            reports[name] = found | {"source": str(path)}
    for sentence in failures[:-1] if not reports else failures:
        tell(sentence)
    if not reports:
        raise CameraError(failures[-1])
    reports = _earlier(folder, {report["place"] for report in reports.values()}) | reports
    records = write_captures(
        folder,
        (
            record | {"source": report["source"], "crop": f"{name}/{record['crop']}"}
            for name, report in reports.items()
            for record in read_captures(folder / name)
        ),
    )
    for order in ORDERS:
        sheet = folder / f"by_{order}.png"
        if records:
            draw_sheet(sheet, folder, records, order)
        else:
            sheet.unlink(missing_ok=True)
    report = _summed([*reports.values()]) | {"sources": len(reports), "failed": len(failures)}
    write_atomically(folder / "report.json", json.dumps(report, indent=1).encode())
    return report


def scan_jobs(jobs: Sequence[Job], make_line: LineMaker = shipped_line) -> Iterator[Report | str]:
    """Scan one after the other, in this process."""
    for job in jobs:
        yield scan_job(job, make_line)


def scan_job(job: Job, make_line: LineMaker = shipped_line, progress: bool = True) -> Report | str:
    """Scan a source; return its report or, where it cannot be read, a sentence.

    Raises:
        OSError: a result cannot be written.
    """
    path, folder, options = job
    try:
        return scan_source(path, folder, options, make_line, progress)
    except CameraError as error:
        return str(error)
    except SessionError as error:
        return f"{path}: {error}"  # a frame is too large for the engine
    except OSError as error:
        if error.filename is None or Path(error.filename) != path:
            raise
        return f"{path}: {error.strerror}"


def folders_of(paths: Iterable[Path], folder: Path) -> dict[Path, str]:
    """Return a name for the folder of each source's results, NAME.faces where no other source is called NAME.

    Args:
        paths: of the sources; one named twice is given once.
        folder: of the results; what it holds of earlier sources stays theirs.
    """
    different: dict[Path, Path] = {}
    for path in paths:
        different.setdefault(path.resolve(), path)
    names = Counter(place.name for place in different)
    return {
        path: f"{place.name}.faces"
        if names[place.name] == 1 and _owner(folder / f"{place.name}.faces") in (None, str(place))
        else f"{place.name}-{_short(place)}.faces"
        for place, path in different.items()
    }


def _owner(folder: Path) -> str | None:
    """Where the source of finished results lies; None where there are none."""
    report = finished_report(folder)
    return None if report is None else report["place"]


def _earlier(folder: Path, places: set[str]) -> dict[str, Report]:
    """The reports of finished sources that are not among these, by the names of their folders."""
    found = {place.name: finished_report(place) for place in sorted(folder.glob("*.faces"))}
    return {name: report for name, report in found.items() if report is not None and report["place"] not in places}


def _short(place: Path) -> str:
    return hashlib.sha256(str(place).encode()).hexdigest()[:8]


def _summed(reports: Sequence[Report]) -> Report:
    counts = ("frames", "damaged", "faces", "tracks", "captures", "kept_bytes", "video_bytes")
    total: dict[str, Any] = {name: sum(report[name] for report in reports) for name in counts}
    for name in ("video_seconds", "wall_seconds"):
        total[name] = sum(report[name] for report in reports)
    stages = reports[0]["seconds"]
    total["seconds"] = {stage: sum(report["seconds"][stage] for report in reports) for stage in stages}
    total["frames_per_second"] = total["frames"] / total["wall_seconds"]
    videos = all(report["video_seconds"] for report in reports)  # pictures are no recording
    total["continuous_bytes"] = round(CONTINUOUS_BYTES_A_SECOND * total["video_seconds"]) if videos else 0
    return total
