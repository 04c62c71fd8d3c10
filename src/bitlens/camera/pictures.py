# SPDX-License-Identifier: Apache-2.0
"""Picture files as the frames of a video, 25 a second, upright as their camera has noted it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from bitlens.vision import Frame

__all__ = ["Pictures"]


class Pictures:
    """A `Source` of picture files; one that cannot be decoded is left out and counted.

    Args:
        files: in order.
    """

    rate = 25.0
    still = True

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = files
        self.expected: int | None = len(files)
        self.damaged = 0
        self.file_bytes = sum(file.stat().st_size for file in files)

    def __iter__(self) -> Iterator[Frame]:
        """Decode one after the other."""
        for number, file in enumerate(self.files):
            try:
                with Image.open(file) as stored:
                    picture = ImageOps.exif_transpose(_of_bytes(stored)).convert("RGB")
            except Exception:  # Pillow has many of its own
                self.damaged += 1
                continue
            luma = np.asarray(picture.convert("L"))
            yield Frame(number, number / self.rate, luma, partial(np.asarray, picture))

    def close(self) -> None:
        """Nothing is held open."""


def _of_bytes(picture: Image.Image) -> Image.Image:
    """The high bytes of a picture of 16 bits, which Pillow would clip; any other as it is."""
    if not picture.mode.startswith("I;16"):
        return picture
    return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
