# SPDX-License-Identifier: Apache-2.0
"""Face sets of noise, written as the real ones are."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

__all__ = ["record", "write_set"]


def record(file: str, split: str, box: Sequence[float], pose: Sequence[float] | None = None) -> dict[str, Any]:
    """A line of a list: one face in a picture of 160x150, of the person that the file's name begins with.

    With a pose it has landmarks too, its nose aside and up as the pose says.
    """
    face: dict[str, Any] = {"box": [*box]}
    if pose is not None:
        face |= dict(zip(("yaw", "pitch", "roll"), pose, strict=True))
        places = np.array(
            [[0.3, 0.4], [0.7, 0.4], [0.5 + pose[0] / 200, 0.6 - pose[1] / 200], [0.35, 0.8], [0.65, 0.8]]
        )
        face["landmarks5"] = (np.array(box[:2]) + places * np.array(box[2:])).tolist()
    told = {"file": file, "width": 160, "height": 150, "faces": [face], "split": split}
    return told | {"all_faces_labelled": True, "person": file.split("_")[0]}


def write_set(root: Path, name: str, records: Sequence[dict[str, Any]], blurred: Sequence[str] = ()) -> None:
    """Write NAME.zip and NAME.jsonl; pictures are noise, those in `blurred` a slope without detail."""
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(root / f"{name}.zip", "w") as archive:
        for line in records:
            pixels = rng.integers(0, 256, (150, 160)).astype(np.uint8)
            if line["file"] in blurred:
                pixels = np.tile(np.linspace(0, 255, 160).astype(np.uint8), (150, 1))
            stream = io.BytesIO()
            Image.fromarray(pixels).save(stream, "PNG")
            archive.writestr(line["file"], stream.getvalue())
    (root / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in records))
