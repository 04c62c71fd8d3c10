# SPDX-License-Identifier: Apache-2.0
"""Pictures for composed scenes: a face is a bright square with five dark dots on grey, a background is stripes."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ["FACE_GREY", "write_scene_sets"]

FACE_GREY = 230
_BOX = (40, 50, 60, 60)  # left, top, width, height
_POINTS = ((58, 70), (82, 70), (70, 82), (60, 96), (80, 96))


def write_scene_sets(root: Path) -> Path:
    """Write ytfaces, helen, maskboxes and nonface with a few pictures of every split; return the folder."""
    for name, complete in (("ytfaces", True), ("helen", False), ("maskboxes", True)):
        lines = []
        for split in ("train", "val", "test"):
            face = {"box": [*_BOX]} | ({"landmarks5": [*_POINTS]} if name != "maskboxes" else {})
            lines.append(_line(f"{split}.png", split, complete, [face]))
        _write(root, name, lines, _face())
    splits = ["train"] * 9 + ["test"] * 2
    lines = [_line(f"{i}.png", split, True, []) for i, split in enumerate(splits)]
    _write(root, "nonface", lines, np.tile(np.repeat([20, 60], 8), (150, 10))[:, :160].astype(np.uint8))
    return root


def _face() -> np.ndarray:
    luma = np.full((150, 160), 120, np.uint8)
    left, top, width, height = _BOX
    luma[top : top + height, left : left + width] = FACE_GREY
    for x, y in _POINTS:
        luma[y - 3 : y + 3, x - 3 : x + 3] = 10
    return luma


def _line(file: str, split: str, complete: bool, faces: list[dict[str, object]]) -> dict[str, object]:
    told = {"file": file, "width": 160, "height": 150, "faces": faces, "split": split}
    return told | {"all_faces_labelled": complete}


def _write(root: Path, name: str, lines: list[dict[str, object]], luma: np.ndarray) -> None:
    stream = io.BytesIO()
    Image.fromarray(luma).save(stream, "PNG")
    with zipfile.ZipFile(root / f"{name}.zip", "w") as archive:
        for line in lines:
            archive.writestr(str(line["file"]), stream.getvalue())
    (root / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
