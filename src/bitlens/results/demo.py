# SPDX-License-Identifier: Apache-2.0
"""The main job on built-in data: a clip is made, scanned, and the faces worth keeping are shown."""

from __future__ import annotations

import time
from pathlib import Path

__all__ = ["run_demo"]


def run_demo(folder: Path) -> int:
    """Make a clip of one photograph and keep the best shots of the face in it, printing what happens.

    Args:
        folder: gets walking.mp4 and what `bitlens camera scan` writes; what is there is used again.

    Returns:
        0 where faces were captured, 1 where none was.
    """
    from bitlens.camera.archive import scan_archive
    from bitlens.camera.options import ScanOptions
    from bitlens.camera.report import render
    from bitlens.results.demo_clip import write_clip

    started = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    clip = folder / "walking.mp4"
    if not clip.exists():
        print(f"1. make {clip}: a photograph, turned, moved, blurred, darkened and full of noise")
        write_clip(clip)
    print("2. scan it: every frame is searched, each face followed, judged for clearness and pose; the best are kept,")
    print(f"   as with: bitlens camera scan {clip} -o {folder} --interval 0.5 --keep 1")
    report = scan_archive([clip], folder, ScanOptions(interval_seconds=0.5, keep=1))
    print()
    print(render(report, folder))
    print(f"done in {time.perf_counter() - started:.0f} s; open {folder / 'by_clearness.png'}")
    return 0 if report["captures"] else 1
