# SPDX-License-Identifier: Apache-2.0
"""A small set of faces whose pictures anybody may pass on: one face, turned, and backgrounds, all from scikit-image.

The face is that of NASA's portrait of Eileen Collins (public domain), its head turned as if painted on a cylinder; the
backgrounds hold no face. The set has the form of the others (`bitlens.data.faces`), so that whatever draws those draws these.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from bitlens.results.demo_clip import turned_head

__all__ = ["write_open_faces"]

_FACE, _TOP, _SIZE = (
    222.0,
    68.0,
    (92.0, 112.0),
)  # of the face: middle, top, width and height in pixels of the photograph
_SHIFT = 85.0, 0.8  # of the middle: so many pixels times the sine of so much of the turn
_PART = (52, 0, 392, 300)  # of the photograph, as left, top, right, bottom
_YAWS = range(-30, 31, 5)  # degrees; further, a cylinder is no head
_BACKGROUNDS = ("brick", "chelsea", "coffee", "coins", "grass", "gravel", "hubble_deep_field", "moon", "page", "rocket")


def write_open_faces(root: Path) -> Path:
    """Write ytfaces (13 pictures of one person) and nonface (10 pictures), all of the split "test"; return the folder."""
    from skimage import data

    photograph = data.astronaut().astype(np.float32)
    left, top, right, bottom = _PART
    portraits, lines = {}, []
    for yaw in _YAWS:
        file = f"yaw{yaw:+03}.png"
        portraits[file] = turned_head(photograph, math.radians(yaw))[top:bottom, left:right]
        middle = _FACE + _SHIFT[0] * math.sin(_SHIFT[1] * math.radians(yaw))
        box = [middle - _SIZE[0] / 2 - left, _TOP - top, *_SIZE]
        face = {"box": box, "yaw": float(yaw), "pitch": 0.0, "roll": 0.0}
        lines.append(_line(file, portraits[file], [face]) | {"person": "Eileen Collins"})
    _write(root, "ytfaces", portraits, lines)
    grounds = {f"{name}.png": getattr(data, name)() for name in _BACKGROUNDS}
    _write(root, "nonface", grounds, [_line(file, picture, []) for file, picture in grounds.items()])
    return root


def _line(file: str, picture: npt.NDArray[np.uint8], faces: list[dict[str, object]]) -> dict[str, object]:
    height, width = picture.shape[:2]
    told = {"file": file, "width": width, "height": height, "faces": faces}
    return told | {"split": "test", "all_faces_labelled": True}


def _write(root: Path, name: str, pictures: dict[str, npt.NDArray[np.uint8]], lines: list[dict[str, object]]) -> None:
    with zipfile.ZipFile(root / f"{name}.zip", "w") as archive:
        for file, picture in pictures.items():
            stream = io.BytesIO()
            Image.fromarray(picture).save(stream, "PNG")
            archive.writestr(file, stream.getvalue())
    (root / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
