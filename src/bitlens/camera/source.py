# SPDX-License-Identifier: Apache-2.0
"""Where frames come from: a video file, a picture, or a folder of pictures in the order of their names.

>>> for frame in open_source("clip.mp4"): print(frame.number, frame.luma.shape)      # doctest: +SKIP
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from bitlens.vision import Frame

__all__ = ["PICTURES", "CameraError", "Source", "open_source"]

PICTURES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


class CameraError(ValueError):
    """A source or a setting breaks a rule; one sentence."""


class Source(Protocol):
    """Frames, to be gone through once.

    Attributes:
        rate: frames a second.
        expected: how many frames there should be; None where it is not known.
        damaged: frames, or parts that would have held some, that could not be decoded whole, by now.
        files: that the frames come from.
        file_bytes: size on disk.
        still: whether the frames are pictures, each of which may stand for itself.
    """

    rate: float
    expected: int | None
    damaged: int
    files: Sequence[Path]
    file_bytes: int
    still: bool

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None:
        """Let go of the files; done by going through all frames, too."""


def open_source(path: str | os.PathLike[str], threads: int = 1) -> Source:
    """Open a video, a picture or a folder of pictures.

    Args:
        path: of it.
        threads: of the video decoder.

    Raises:
        CameraError: it is no video that FFmpeg reads, or a folder without pictures.
        OSError: it is missing or may not be read.
    """
    place = Path(path)
    if place.is_dir():
        from bitlens.camera.pictures import Pictures

        files = sorted(file for file in place.iterdir() if file.suffix.lower() in PICTURES and file.is_file())
        if not files:
            raise CameraError(
                f"{place}: folder must hold pictures ({', '.join(PICTURES)}); videos are named one by one"
            )
        return Pictures(files)
    with place.open("rb"):
        pass  # a sentence of the system's where it is missing or may not be read
    if place.suffix.lower() in PICTURES:
        from bitlens.camera.pictures import Pictures

        return Pictures([place])
    from bitlens.camera.video import Video

    return Video(place, threads)
