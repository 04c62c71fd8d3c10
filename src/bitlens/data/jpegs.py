# SPDX-License-Identifier: Apache-2.0
"""An npz of JPEG files: their bytes one after the other, and where each begins.

Of every part: jpeg_PART uint8 (bytes), offsets_PART (N + 1,), labels_PART (N,).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bitlens.data.cache import Arrays, short
from bitlens.data.dataset import DataError

__all__ = ["decode_jpegs"]


def decode_jpegs(file: Path, name: str, parts: Sequence[str], side: int) -> Arrays:
    """Return images_PART, uint8 (N, side, side, 3), and labels_PART, int64 (N,), of every part.

    Args:
        file: the npz; grey pictures become colour ones.
        name: of the data set, for the error.
        parts: as the file calls them.
        side: of every picture.

    Raises:
        DataError: the file is damaged or holds pictures of another size.
    """
    from PIL import Image

    arrays: Arrays = {}
    try:
        with file.open("rb") as stream, np.load(stream) as packed:
            for part in parts:
                offsets, raw, labels = (packed[f"{key}_{part}"] for key in ("offsets", "jpeg", "labels"))
                images = np.empty((len(labels), side, side, 3), np.uint8)
                for i in range(len(labels)):
                    picture = Image.open(io.BytesIO(raw[offsets[i] : offsets[i + 1]].tobytes()))
                    if picture.size != (side, side):
                        raise ValueError(f"picture {i} of {part} has {picture.size[0]}x{picture.size[1]} pixels")
                    images[i] = np.asarray(picture.convert("RGB"))
                arrays |= {f"images_{part}": images, f"labels_{part}": labels.astype(np.int64)}
    except Exception as error:  # Pillow and zipfile have many of their own
        raise DataError(f"{file}: must be an npz of {name} JPEGs ({short(error)})") from error
    return arrays
