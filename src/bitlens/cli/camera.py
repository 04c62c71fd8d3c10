# SPDX-License-Identifier: Apache-2.0
"""`bitlens camera`: sub-commands of the camera."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bitlens.vision import ShotWeights

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = """bitlens camera scan monday.mp4 tuesday.mp4 -o faces
  bitlens camera scan photos/ -o faces --keep 1                  a folder of pictures, in the order of their names
  bitlens camera scan clip.mp4 -o faces --interval 2 --quick 60  also the best of every 2 s of a face, and the first over 60
  bitlens camera scan /archive/*.mp4 -o faces --ray auto         spread over a Ray cluster"""

_WEIGHTS = ("clearness", "frontality", "size", "exposure")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands and their flags."""
    commands = parser.add_subparsers(dest="task", metavar="TASK", required=True)
    text = "find the faces of videos and keep the best shots of each"
    scan = commands.add_parser(
        "scan",
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=f"example:\n  {EXAMPLE}",
        formatter_class=argparse.RawTextHelpFormatter,
    )
    scan.add_argument("sources", metavar="VIDEO", nargs="+", type=Path, help="videos, pictures or folders of pictures")
    scan.add_argument("-o", "--output", metavar="DIR", required=True, type=Path, help="finished videos are not redone")
    scan.add_argument("--keep", metavar="K", type=int, default=3, help="best shots of each face (default: %(default)s)")
    scan.add_argument(
        "--apart", metavar="S", type=float, default=0.5, help="seconds between them (default: %(default)s)"
    )
    scan.add_argument(
        "--quick", metavar="SCORE", type=float, help="also the first shot of at least this score, 0 to 100"
    )
    scan.add_argument("--interval", metavar="S", type=float, help="also the best shot of every S seconds of a face")
    scan.add_argument(
        "--least-frames", metavar="N", type=int, help="frames in a row a face must be in (default: those of 0.2 s)"
    )
    scan.add_argument(
        "--weights",
        metavar="A=X,B=Y",
        default="",
        help=f"exponents of the score's factors {', '.join(_WEIGHTS)}: frontality=2,size=0 (default: 1 each)",
    )
    scan.add_argument(
        "--threads",
        metavar="N",
        type=int,
        default=1,
        help="processor cores for each video, 1 to 64 (default: %(default)s)",
    )
    scan.add_argument("--ray", metavar="ADDRESS", help="spread videos over a Ray cluster: local, auto or host:port")
    scan.add_argument("--json", action="store_true", help="end with one line of JSON")


def run(arguments: argparse.Namespace) -> int:
    """Scan, and print what was found, saved and how fast."""
    from functools import partial

    from bitlens.camera.archive import scan_archive
    from bitlens.camera.options import ScanOptions
    from bitlens.camera.report import render

    options = ScanOptions(
        keep=arguments.keep,
        apart_seconds=arguments.apart,
        quick_score=arguments.quick,
        interval_seconds=arguments.interval,
        least_frames=arguments.least_frames,
        weights=_weights(arguments.weights),
        threads=arguments.threads,
    )
    scan = None
    if arguments.ray is not None:
        from bitlens.camera.spread import scan_on_ray

        scan = partial(scan_on_ray, address=arguments.ray)
    tell = partial(print, file=sys.stderr)
    report = scan_archive(arguments.sources, arguments.output, options, scan, tell)
    print(json.dumps(report) if arguments.json else render(report, arguments.output))
    return 2 if report["failed"] else 0


def _weights(text: str) -> ShotWeights:
    """The weights that `--weights` says.

    Raises:
        CameraError: a part is no NAME=NUMBER.
    """
    from bitlens.camera.source import CameraError
    from bitlens.vision import ShotWeights

    given: dict[str, float] = {}
    seen: set[str] = set()
    for part in filter(None, text.split(",")):
        name, _, number = part.partition("=")
        try:
            given[name] = float(number)
        except ValueError:
            name = ""
        if part.partition("=")[0] in seen:
            raise CameraError(f"--weights: must name {name} once, not twice")
        seen.add(name)
        if name not in _WEIGHTS:
            raise CameraError(f"--weights: must be NAME=NUMBER of {', '.join(_WEIGHTS)}, not {part}")
    return ShotWeights(**given)
