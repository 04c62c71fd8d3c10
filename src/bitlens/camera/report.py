# SPDX-License-Identifier: Apache-2.0
"""What a scan has found, saved and taken, in words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bitlens.camera.sheet import MOST_SHOWN

__all__ = ["render"]


def render(report: Mapping[str, Any], folder: Path) -> str:
    """Return the lines to print for the report of `scan_archive`."""
    frames, kept = report["frames"], report["kept_bytes"]
    recording = report["continuous_bytes"]
    over = f", {_less(kept, recording)} than a recording at 2 Mbit/s has ({recording:,})" if recording else ""
    damaged = f", {report['damaged']:,} damaged" if report["damaged"] else ""
    lines = [
        f"looked at   {frames:,} frames of {report['sources']:,} source{'s' * (report['sources'] != 1)}{damaged}",
        f"found       {report['faces']:,} faces in {report['tracks']:,} tracks",
        f"kept        {report['captures']:,} captures, {kept:,} bytes",
        f"saved       {_less(kept, report['video_bytes'])} bytes than the files have ({report['video_bytes']:,}){over}",
        f"time        {report['frames_per_second']:,.1f} frames/s; ms a frame: "
        + ", ".join(f"{stage} {1e3 * spent / frames:.2f}" for stage, spent in report["seconds"].items()),
    ]
    if report["captures"] > MOST_SHOWN:
        lines.append(f"sheets      show {MOST_SHOWN} of {report['captures']:,} captures, the first of their order")
    if report["captures"]:
        lines.append(
            f"see         {folder / 'by_clearness.png'}, {folder / 'by_pose.png'}, {folder / 'captures.jsonl'}"
        )
    else:
        lines.append("see         nothing: no face was found in enough frames")
    return "\n".join(lines)


def _less(kept: int, before: int) -> str:
    share = 1 - kept / before if before else 0.0
    return f"{100 * share:.2f} % less" if share >= 0 else f"{-100 * share:.0f} % more"
