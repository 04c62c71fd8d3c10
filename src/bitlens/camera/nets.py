# SPDX-License-Identifier: Apache-2.0
"""The nets that come with bitlens, opened once a process, and the line of faces made of them."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Protocol

from bitlens.camera.options import ScanOptions
from bitlens.vision import Clearness, FaceDetector, FaceLine, Pose
from bitlens.vision.tracker import WEAK

__all__ = ["LineMaker", "nets_digest", "shipped_line"]


class LineMaker(Protocol):
    """Makes the line for one video."""

    def __call__(self, options: ScanOptions, rate: float, still: bool, /) -> FaceLine:
        """Return a new line for a source of `rate` frames a second; `still` if its frames are pictures."""


def shipped_line(options: ScanOptions, rate: float, still: bool) -> FaceLine:
    """Return a line of the nets that come with bitlens."""
    detector, clearness, pose = _nets(options.threads)
    return FaceLine(detector, clearness, pose, **options.parts(rate, still, detector.sure))


@cache
def _nets(threads: int) -> tuple[FaceDetector, Clearness, Pose]:
    sure = FaceDetector(threads=threads).sure
    detector = FaceDetector(threads=threads, threshold=WEAK * sure)  # weak faces too: they continue tracks
    return detector, Clearness(threads=threads), Pose(threads=threads)


@cache
def nets_digest() -> str:
    """Return what changes whenever the nets or the version of bitlens do."""
    digest = hashlib.sha256(version("bitlens").encode())
    for file in sorted((files("bitlens.vision") / "models").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".bitlens"):
            digest.update(file.read_bytes())
    return digest.hexdigest()
